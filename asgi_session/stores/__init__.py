"""Where sessions are kept: the contract (`base`), the stores (`memory`, `mongo`, `redis`, `encrypted`), their parts
(`mongo_*`, `redis_*`), and how calls are waited for (`pending`) and made together (`together`).
"""
