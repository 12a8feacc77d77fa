// Makes private keys as JWKs, and their public keys as PEM: `node keys.mjs KID ALG ...`.
import { generateKeyPairSync } from 'node:crypto';

const kinds = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  ES384: ['ec', { namedCurve: 'P-384' }],
  EdDSA: ['ed25519', {}],
};
const args = process.argv.slice(2);
const keys = [];
for (let i = 0; i < args.length; i += 2) {
  const [kid, alg] = args.slice(i, i + 2);
  const [kind, options] = kinds[alg] ?? ['rsa', { modulusLength: 2048 }];
  const { privateKey, publicKey } = generateKeyPairSync(kind, options);
  const jwk = { ...privateKey.export({ format: 'jwk' }), kid, alg };
  keys.push({ jwk, pem: publicKey.export({ type: 'spki', format: 'pem' }) });
}
console.log(JSON.stringify(keys));
