// Exchanges a token with a published OAuth client that shares no code with Standin: discovery, token requests, error responses.
//
// In, as one JSON object on standard input: { issuer, base, rows: [{ auth, client_id, client_secret, parameters }] }; what the issuer
// serves is reached at `base`. Out: a list with an object a row: what the client made of the answer.
import * as oauth from 'oauth4webapi';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { issuer, base, rows } = JSON.parse(Buffer.concat(chunks).toString('utf8'));

const options = { [oauth.customFetch]: (url, init) => fetch(url.toString().replace(issuer, base), init) };
const found = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...options });
const server = await oauth.processDiscoveryResponse(new URL(issuer), found);

const auths = { basic: oauth.ClientSecretBasic, post: oauth.ClientSecretPost, none: oauth.None };
const grant = 'urn:ietf:params:oauth:grant-type:token-exchange';
const seen = [];
for (const { auth, client_id, client_secret, parameters } of rows) {
  const client = { client_id };
  const response = await oauth.genericTokenEndpointRequest(
    server, client, auths[auth](client_secret), grant, new URLSearchParams(parameters), options);
  try {
    seen.push({ status: 200, answer: await oauth.processGenericTokenEndpointResponse(server, client, response) });
  } catch (error) {
    if (error instanceof oauth.ResponseBodyError) {
      seen.push({ status: error.status, error: error.error, body: error.cause });
    } else if (error instanceof oauth.WWWAuthenticateChallengeError) {
      seen.push({ status: error.status, challenges: error.cause });
    } else {
      throw error;
    }
  }
}
console.log(JSON.stringify(seen));
