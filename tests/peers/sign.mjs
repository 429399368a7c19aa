// Signs tokens and makes a key set with a library that shares no code with Standin.
//
// In, as one JSON array on standard input: { algorithm, claims, kid, pem, member } each. `kid` is left out where it is null. With
// `pem` (PKCS#8) that key signs, and `member` is all that is published beside its type; otherwise a key is made and published with `member`.
// Out: { tokens, jwks }, in the same order.
import { SignJWT, exportJWK, generateKeyPair, importPKCS8 } from 'jose';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);

const [tokens, keys] = [[], []];
for (const { algorithm, claims, kid, pem, member } of JSON.parse(Buffer.concat(chunks).toString('utf8'))) {
  const named = kid === null ? {} : { kid };
  const { publicKey, privateKey } = pem
    ? { privateKey: await importPKCS8(pem, algorithm, { extractable: true }) }
    : await generateKeyPair(algorithm, { extractable: true });
  const published = publicKey ? await exportJWK(publicKey) : { kty: (await exportJWK(privateKey)).kty };
  keys.push({ ...published, ...named, ...member });
  tokens.push(await new SignJWT(claims).setProtectedHeader({ alg: algorithm, typ: 'JWT', ...named }).sign(privateKey));
}
console.log(JSON.stringify({ tokens, jwks: { keys } }));
