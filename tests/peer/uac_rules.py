"""What RFC 3261 asks of who calls, as the called party sees it: whatever is wrong with a conversation, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sipp import Message


def faults(said: Sequence[Message]) -> list[str]:
    """What was wrong with the requests that came, and what should have come and did not; one INVITE and its dialogs."""
    invites = {_number(message): message for message in said if _is(message, "INVITE") and not _tag(message, "To")}
    found = [fault for at, message in enumerate(said) for fault in _faults_of(message, invites, said[:at])]
    return [*found, *_unfinished(said)]


def _faults_of(message: Message, invites: dict[int, Message], before: Sequence[Message]) -> Iterator[str]:
    if message.sent or message.start.startswith("SIP/"):
        return
    method, invite = message.start.split()[0], invites.get(_number(message))
    if method == "CANCEL":
        yield from _of_cancel(message, invite, before)
    elif method == "ACK":
        yield from _of_ack(message, invite, before)
    elif _tag(message, "To"):
        yield from _within(message, before)
    if not _branch(message).startswith("z9hG4bK"):
        yield f"{method}: the branch {_branch(message)} has no magic cookie (8.1.1.7)"


def _of_cancel(cancel: Message, invite: Message | None, before: Sequence[Message]) -> Iterator[str]:
    """Section 9.1: all but the method as in the INVITE, and not before a provisional response."""
    if invite is None:
        yield "CANCEL of no INVITE (9.1)"
        return
    for name in ("From", "To", "Call-ID", "Via"):
        if cancel.header(name) != invite.header(name):
            yield f"CANCEL: {name} is {cancel.header(name)}, not that of the INVITE (9.1)"
    if _uri(cancel) != _uri(invite):
        yield f"CANCEL: to {_uri(cancel)}, not where the INVITE went (9.1)"
    if not any(_status(one) for one in before if one.sent):
        yield "CANCEL before any response (9.1)"


def _of_ack(ack: Message, invite: Message | None, before: Sequence[Message]) -> Iterator[str]:
    """Sections 17.1.1.3 (a refusal: part of the transaction) and 13.2.2.4 (a 2xx: a transaction of its own)."""
    finals = [one for one in before if one.sent and _status(one) >= 200 and _same_number(one, ack, "INVITE")]
    final = next((one for one in finals if one.header("To") == ack.header("To")), None)
    if invite is None or final is None:
        if not _is_of_reinvite(ack, before):
            yield f"ACK of no response: To {ack.header('To')} (17.1.1.3)"
    elif _status(final) >= 300:
        if _branch(ack) != _branch(invite) or _uri(ack) != _uri(invite):
            yield "ACK of a refusal with another branch or Request-URI than the INVITE (17.1.1.3)"
    elif _branch(ack) == _branch(invite):
        yield "ACK of a 2xx with the branch of the INVITE (13.2.2.4)"
    elif _uri(ack) not in final.header("Contact"):
        yield f"ACK to {_uri(ack)}, not to the Contact of the 2xx (12.2.1.1)"


def _is_of_reinvite(ack: Message, before: Sequence[Message]) -> bool:
    return any(_is(one, "INVITE") and _tag(one, "To") and _number(one) == _number(ack) for one in before)


def _within(request: Message, before: Sequence[Message]) -> Iterator[str]:
    """Section 12.2.1.1: to the peer's Contact, with its tag, and the next CSeq number."""
    of_dialog = [one for one in before if one.sent and _tag(one, "To") == _tag(request, "To") and _status(one)]
    targets = [one.header("Contact") for one in of_dialog if one.header("Contact")]
    method = request.start.split()[0]
    if not of_dialog:
        yield f"{method} in a dialog that nobody has made: To {request.header('To')} (12.2.1.1)"
    if targets and _uri(request) not in targets[-1]:
        yield f"{method} to {_uri(request)}, not to {targets[-1]} (12.2.1.1)"
    same = [one for one in before if not one.sent and _tag(one, "To") == _tag(request, "To") and _is_request(one)]
    again = any(_branch(one) == _branch(request) and one.start == request.start for one in same)
    numbers = [_number(one) for one in same if not _is(one, "ACK")]
    if not again and any(number >= _number(request) for number in numbers):
        yield f"{method}: CSeq {_number(request)} after {numbers} (12.2.1.1)"


def _unfinished(said: Sequence[Message]) -> Iterator[str]:
    """Every final response has its ACK, every dialog made by a 2xx a BYE, and of each side at most one."""
    finals = [one for one in said if one.sent and _status(one) >= 200 and one.header("CSeq").endswith("INVITE")]
    for tag in {(_tag(final, "To"), _number(final)) for final in finals}:
        if not any(_is(one, "ACK") and (_tag(one, "To"), _number(one)) == tag for one in said):
            yield f"the final response {tag} has no ACK (13.2.2.4, 17.1.1.3)"
    for tag in {_tag(final, "To") for final in finals if _status(final) < 300}:
        theirs = {_branch(one) for one in said if not one.sent and _is(one, "BYE") and _tag(one, "To") == tag}
        ours = any(one.sent and _is(one, "BYE") and _tag(one, "From") == tag for one in said)
        if len(theirs) > 1 or not (theirs or ours):
            yield f"the dialog {tag} got {len(theirs)} BYE, and sent {'one' if ours else 'none'} (15)"


def _is_request(message: Message) -> bool:
    return not message.start.startswith("SIP/")


def _is(message: Message, method: str) -> bool:
    return message.start.startswith(f"{method} ")


def _same_number(response: Message, ack: Message, method: str) -> bool:
    return response.header("CSeq") == f"{_number(ack)} {method}"


def _status(message: Message) -> int:
    return 0 if _is_request(message) else int(message.start.split()[1])


def _number(message: Message) -> int:
    return int(message.header("CSeq").split()[0])


def _uri(message: Message) -> str:
    return message.start.split()[1]


def _branch(message: Message) -> str:
    found = re.search(r"branch=([^;,\s]+)", message.header("Via"))
    return found[1] if found else ""


def _tag(message: Message, name: str) -> str:
    found = re.search(r";tag=([^;,\s>]+)", message.header(name))
    return found[1] if found else ""
