"""The published constants of the sandbox corp: not secrets, every example and test may rely on them."""

from __future__ import annotations

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8701
DEFAULT_CORP_ID = "wwsandbox00000001"
DEFAULT_APP_NAME = "main"
DEFAULT_AGENT_ID = 1000002
DEFAULT_APP_SECRET = "sandbox-main-secret-000000000000000000000001"
DEFAULT_CALLBACK_TOKEN = "sandboxMainCallbackToken01"
DEFAULT_AES_KEY = "c2FuZGJveHNhbmRib3hzYW5kYm94c2FuZGJveDEyMzQ"
DEFAULT_FEATURES = frozenset({"externalcontact", "kf", "contacts", "message"})
