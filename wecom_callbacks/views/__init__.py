from wecom_callbacks.views import callbacks, inbox

blueprints = [callbacks.blueprint, inbox.blueprint]
