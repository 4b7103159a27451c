/** What a token says of itself. Nothing is verified: that is the broker's. */
export interface Claims {
  sub?: string;
  exp?: number;
  fantail?: unknown;
}

/** Returns no claims where it is no JSON Web Token. */
export function claimsOf(token: string | null): Claims {
  try {
    const [, body = ""] = (token as string).split(".");
    const bytes = Uint8Array.from(atob(body.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Claims;
  } catch {
    return {};
  }
}
