from scrm.people.views import batches, cleaning, fields, merges, people, quality

blueprints = [
    people.blueprint,
    batches.blueprint,
    merges.blueprint,
    fields.blueprint,
    quality.blueprint,
    cleaning.blueprint,
]
