/** Tokens as an application makes them. */
import { createHmac } from "node:crypto";

export const SECRET = "a secret of thirty-two characters";

/** What a broker that asks for these tokens is started with. */
export const TOKEN_SETTINGS = { "auth.mode": "token", "auth.secret": SECRET };

/** Signs claims with HS256. `expiresIn`: seconds from now, fractions too; below 0 it has expired already. */
export function token(
  claims: { sub?: string; fantail?: { sub?: string[]; pub?: string[]; admin?: boolean } },
  { expiresIn = 3600, secret = SECRET } = {},
): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Date.now() / 1000 + expiresIn;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ ...claims, exp })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
