"""`flexml load`: hold many calls against any SIP server, and say what they were like.

SIPp signals, the process of `media.load` speaks and listens, `run` leads both; what comes out are `figures`.
"""
