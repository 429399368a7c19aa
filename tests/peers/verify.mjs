// Verifies an access token of Standin's with a library that shares no code with it.
//
// In, as one JSON object on standard input: { token, jwks, issuer, audience, now }. Out: { header, claims }.
// Exits 1 where the token does not verify.
import { createLocalJWKSet, jwtVerify } from 'jose';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { token, jwks, issuer, audience, now } = JSON.parse(Buffer.concat(chunks).toString('utf8'));

try {
  const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(jwks), {
    issuer,
    audience,
    typ: 'at+jwt',
    requiredClaims: ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'],
    ...(now === undefined ? {} : { currentDate: new Date(now * 1000) }),
  });
  console.log(JSON.stringify({ header: protectedHeader, claims: payload }));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
