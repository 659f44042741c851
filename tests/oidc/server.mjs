// A certified OpenID provider for the sign-in tests: several issuers in one process, over https on loopback.
//
// Reads one JSON object from standard input:
//   {key, cert, issuers: [{name, path, port}], users: {login: claims}, secret, workload: JWK, ttl, redirects: [url]}
// `port` is a name: issuers with the same one share a listening port. Writes one line of JSON to standard
// output, {name: issuer URL}, and ends when standard input ends.

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

const RESOURCE = 'urn:dbgate:approvals';
const lines = createInterface({ input: process.stdin });
const [line] = await once(lines, 'line');
const setup = JSON.parse(line);
lines.on('close', () => process.exit(0));

function signingKey(kid) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' };
}

function publicClient(id) {
  return {
    client_id: id,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1', 'http://localhost/callback', 'http://127.0.0.1/partner'],
  };
}

// The web console over https: a confidential client with exact redirects.
function webClient(id) {
  return {
    client_id: id,
    client_secret: setup.secret,
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: setup.redirects,
  };
}

function service(id, authentication) {
  return { client_id: id, grant_types: ['client_credentials'], response_types: [], redirect_uris: [], ...authentication };
}

function configuration(name) {
  return {
    jwks: { keys: [signingKey(`${name}-1`)] },
    clients: [
      publicClient('dbgate'),
      publicClient('dbgate-short'),
      service('dbgate-service', { client_secret: setup.secret }),
      service('dbgate-workload', { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [setup.workload] } }),
      { ...publicClient('dbgate-console'), redirect_uris: ['', '/partner'].map((name) => `http://127.0.0.1/sign-in/callback${name}`) },
      ...(setup.redirects.length ? [webClient('dbgate-web')] : []),
      service('dbgate-opaque', { client_secret: setup.secret }),
    ],
    claims: { openid: ['sub'], email: ['email', 'name'], groups: ['groups', 'act', '_claim_names', '_claim_sources'] },
    conformIdTokenClaims: false,
    cookies: { keys: [setup.secret] },
    ttl: {
      AccessToken: 600,
      ClientCredentials: 600,
      DeviceCode: 600,
      Grant: 3600,
      IdToken: (ctx, token, client) => (client.clientId === 'dbgate-short' ? setup.ttl : 3600),
      Interaction: 600,
      RefreshToken: 3600,
      Session: 3600,
    },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx, client, oneOf) =>
          oneOf ?? (['dbgate-service', 'dbgate-workload'].includes(client.clientId) ? RESOURCE : undefined),
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ scope: '', audience: RESOURCE, accessTokenFormat: 'jwt' }),
      },
    },
    extraTokenClaims: (ctx, token) => (token.kind === 'ClientCredentials' ? { groups: ['batch'] } : undefined),
    findAccount: (ctx, login) =>
      setup.users[login] && { accountId: login, claims: () => ({ sub: login, ...setup.users[login] }) },
    interactions: { url: (ctx, interaction) => `${new URL(ctx.oidc.issuer).pathname.replace(/\/$/, '')}/interaction/${interaction.uid}` },
    loadExistingGrant: async (ctx) => {
      // Everyone consents to everything: consent is the issuer's business, not dbgate's.
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid email groups profile offline_access');
      await grant.save();
      return grant;
    },
  };
}

// A page with a form for each question of the provider: who are you, and do you agree.
async function interact(provider, request, response) {
  const { prompt } = await provider.interactionDetails(request, response);
  if (request.method === 'GET') {
    const field = prompt.name === 'login' ? '<input type="text" name="login"/>' : '<input type="hidden" name="agree"/>';
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!DOCTYPE html><form method="post">${field}</form>`);
    return;
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const login = new URLSearchParams(body).get('login');
  let result = { consent: {} };
  if (prompt.name === 'login') {
    result = setup.users[login]
      ? { login: { accountId: login } }
      : { error: 'access_denied', error_description: 'no such user' };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

function handler(mounts) {
  return (request, response) => {
    const mount = mounts.find(({ path }) => request.url.startsWith(`${path}/`));
    if (!mount) {
      response.statusCode = 404;
      response.end();
      return;
    }
    request.originalUrl = request.url;
    request.url = request.url.slice(mount.path.length);
    if (request.url.startsWith('/interaction/')) {
      interact(mount.provider, request, response).catch((error) => response.destroy(error));
    } else {
      mount.callback(request, response);
    }
  };
}

const issuers = {};
for (const port of new Set(setup.issuers.map((issuer) => issuer.port))) {
  const mounts = [];
  const server = createServer({ key: setup.key, cert: setup.cert }, handler(mounts));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  for (const { name, path } of setup.issuers.filter((issuer) => issuer.port === port)) {
    const url = `https://127.0.0.1:${server.address().port}${path}`;
    const provider = new Provider(url, configuration(name));
    mounts.push({ path, provider, callback: provider.callback() });
    issuers[name] = url;
  }
  mounts.sort((a, b) => b.path.length - a.path.length);
}
console.log(JSON.stringify(issuers));
