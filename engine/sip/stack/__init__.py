"""The SIP stack, pjsua2: the only modules that know it; none but the agent knows them, and none of it leaves the agent.

What always holds here:
- One thread, the event loop's, calls pjsua2 (see `poller`).
- What pjsua2 calls back is kept alive from Python: the log writer by the endpoint, accounts and calls by the agent, a
  call until DISCONNECTED. It is dropped outside pjsip's callbacks, and refers to nothing that refers to it by then,
  so that it is freed at once and on this thread (pjsip/pjproject#2416).
- No exception leaves a callback: it would cross C++.
- pjsua's own media is idle: no sound device, no clock, no stream (scripts/build-pjsua2 leaves it out); its
  sockets sit on a loopback address that nothing else uses. Every SDP that leaves is ours.
"""
