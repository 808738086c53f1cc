from scrm.audiences.views import audiences, fills

blueprints = [audiences.blueprint, fills.blueprint]
