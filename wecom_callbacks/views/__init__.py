from wecom_callbacks.views.callbacks import blueprint as callbacks

blueprints = [callbacks]
