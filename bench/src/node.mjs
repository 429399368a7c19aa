// The floor's job in Node, with nothing but its own modules: node node.mjs FOLDER SECRET_SHA256. Says where it serves on standard error.
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, timingSafeEqual, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const [folder, digest] = process.argv.slice(2)
const secretDigest = Buffer.from(digest, 'hex')
const [jwk] = JSON.parse(readFileSync(`${folder}/idp.jwks.json`, 'utf8')).keys
const idp = createPublicKey({ key: jwk, format: 'jwk' })
const { privateKey } = generateKeyPairSync('ed25519')
const { api, client: registered, idp: trusted, issuer } = JSON.parse(readFileSync(`${folder}/names.json`, 'utf8'))
const header = Buffer.from('{"alg":"EdDSA","kid":"bench","typ":"at+jwt"}').toString('base64url')
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

function mint (authorization, body) {
  if (!authorization?.startsWith('Basic ')) return
  const basic = Buffer.from(authorization.slice(6), 'base64').toString()
  const colon = basic.indexOf(':')
  const client = basic.slice(0, colon)
  if (!timingSafeEqual(createHash('sha256').update(basic.slice(colon + 1)).digest(), secretDigest)) return
  const form = new URLSearchParams(body)
  if (form.get('grant_type') !== EXCHANGE) return
  const [audience, scope, token] = ['audience', 'scope', 'subject_token'].map((name) => form.get(name))
  const [head, payload, signature, ...more] = token.split('.')
  if (more.length > 0) return
  const { alg, kid, typ } = JSON.parse(Buffer.from(head, 'base64url'))
  if (alg !== 'ES256' || typ !== 'JWT' || !kid) return
  const key = { key: idp, dsaEncoding: 'ieee-p1363' }
  if (!verify('sha256', `${head}.${payload}`, key, Buffer.from(signature, 'base64url'))) return
  const subject = JSON.parse(Buffer.from(payload, 'base64url'))
  const now = Math.floor(Date.now() / 1000)
  const live = subject.exp > now && subject.iat <= now + 30
  const allowed = client === registered && audience === api && subject.scope.split(' ').includes(scope)
  if (!live || !allowed || subject.iss !== trusted || subject.aud !== issuer || subject.tenant !== 'acme') return
  const claims = JSON.stringify({
    iss: issuer,
    sub: `ext:corp:${subject.sub}`,
    aud: audience,
    exp: Math.min(subject.exp, now + 300),
    iat: now,
    jti: randomBytes(16).toString('base64url'),
    client_id: client,
    scope,
    act: { iss: issuer, sub: `client:${client}` },
    tenant: subject.tenant,
    obo_type: 'token',
    lineage: [subject.jti]
  })
  const message = `${header}.${Buffer.from(claims).toString('base64url')}`
  return JSON.stringify({
    access_token: `${message}.${sign(null, Buffer.from(message), privateKey).toString('base64url')}`,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 300,
    scope
  })
}

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const asked = request.method === 'POST' && request.url === '/oauth2/token'
    const body = asked ? mint(request.headers.authorization, Buffer.concat(chunks).toString()) : undefined
    response.writeHead(body ? 200 : 400, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    response.end(body ?? '{"error":"invalid_request"}')
  })
})
server.listen(0, '127.0.0.1', () => process.stderr.write(`serving 127.0.0.1:${server.address().port} in Node\n`))
