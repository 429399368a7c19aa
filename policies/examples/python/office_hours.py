"""Office hours: people of a tenant read from Monday to Friday, eight to six UTC; who writes has shown a second factor.

What is not named here is denied. The same rules stand in ../rust and ../javascript.
"""

import json

from wit_world.exports.policy import Manifest
from wit_world.imports.types import (
    Allowance,
    Effect,
    Effect_Deny,
    Effect_Permit,
    Effect_StepUp,
    Input,
    Party,
    Reason,
    Verdict,
)

NAME = "office-hours"
MFA = "urn:example:mfa"
TTL = 300


class Policy:
    """The component's exports."""

    def evaluate(self, input: Input) -> Verdict:
        subject = input.subject
        # A fact that is not there is no fact; one that is not `false` protects.
        if fact(subject, "protected") not in (None, False):
            return deny("protected", "nobody acts for a protected user")
        if subject.kind != "user" or input.tenant not in subject.tenants:
            return deny("default", "no rule permits this")
        if not is_office_hour(input.now):
            return deny("office-hours", "Monday to Friday, 08:00 to 18:00 UTC")
        writes = any(scope.endswith(":write") for scope in input.scope)
        if writes and fact(subject, "acr") != MFA:
            return verdict(Effect_StepUp(MFA), "second-factor", "who writes shows a second factor")
        scope = [scope for scope in input.scope if scope.endswith((":read", ":write"))]
        if not scope:
            return deny("default", "no rule permits this")
        permit = Effect_Permit(Allowance(scope=scope, audience=None, ttl=TTL))
        return verdict(permit, "write" if writes else "read", "within office hours")

    def describe(self) -> Manifest:
        return Manifest(name=NAME, version="1", engine="python", source_digest="")


def fact(party: Party, name: str) -> object:
    """The value of a fact, which is JSON text. Text that is not JSON raises, and that denies."""
    for attribute in party.attributes:
        if attribute.name == name:
            return json.loads(attribute.value)
    return None


def is_office_hour(now: int) -> bool:
    """Day 0 of the epoch was a Thursday."""
    weekday = (now // 86_400 + 3) % 7
    hour = now % 86_400 // 3_600
    return weekday < 5 and 8 <= hour < 18


def deny(rule: str, text: str) -> Verdict:
    return verdict(Effect_Deny(), rule, text)


def verdict(effect: Effect, rule: str, text: str) -> Verdict:
    return Verdict(effect=effect, reasons=[Reason(rule=rule, text=text)], attributes=[])
