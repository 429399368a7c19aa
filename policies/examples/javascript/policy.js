// Office hours: people of a tenant read from Monday to Friday, eight to six UTC; who writes has shown a second factor.
// What is not named here is denied. The same rules stand in ../rust and ../python.

const NAME = 'office-hours';
const MFA = 'urn:example:mfa';
const TTL = 300;

export const policy = {
  evaluate(input) {
    // A fact that is not there is no fact; one that is not `false` protects.
    if ((fact(input.subject, 'protected') ?? false) !== false) {
      return deny('protected', 'nobody acts for a protected user');
    }
    if (input.subject.kind !== 'user' || !input.subject.tenants.includes(input.tenant)) {
      return deny('default', 'no rule permits this');
    }
    if (!isOfficeHour(Number(input.now))) {
      return deny('office-hours', 'Monday to Friday, 08:00 to 18:00 UTC');
    }
    const writes = input.scope.some((scope) => scope.endsWith(':write'));
    if (writes && fact(input.subject, 'acr') !== MFA) {
      return verdict({ tag: 'step-up', val: MFA }, 'second-factor', 'who writes shows a second factor');
    }
    const scope = input.scope.filter((scope) => scope.endsWith(':read') || scope.endsWith(':write'));
    if (scope.length === 0) {
      return deny('default', 'no rule permits this');
    }
    const allowance = { scope, audience: undefined, ttl: TTL };
    return verdict({ tag: 'permit', val: allowance }, writes ? 'write' : 'read', 'within office hours');
  },

  describe() {
    return { name: NAME, version: '1', engine: 'javascript', sourceDigest: '' };
  },
};

/// The value of a fact, which is JSON text. Text that is not JSON throws, and that denies.
function fact(party, name) {
  const found = party.attributes.find((attribute) => attribute.name === name);
  return found === undefined ? undefined : JSON.parse(found.value);
}

/// Day 0 of the epoch was a Thursday.
function isOfficeHour(now) {
  const weekday = (Math.floor(now / 86_400) + 3) % 7;
  const hour = Math.floor((now % 86_400) / 3_600);
  return weekday < 5 && hour >= 8 && hour < 18;
}

function deny(rule, text) {
  return verdict({ tag: 'deny' }, rule, text);
}

function verdict(effect, rule, text) {
  return { effect, reasons: [{ rule, text }], attributes: [] };
}
