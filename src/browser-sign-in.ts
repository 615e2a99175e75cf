import type { Config } from "./config/load.ts";
import type { AssertionKeys } from "./identity/assertion-key.ts";
import type { Shared } from "./shared.ts";
import type { SignIn, SignInParts } from "./sign-in/sign-in.ts";
import type { Member } from "./workers/member.ts";

/** What browsers sign in with, whatever reloads bring; `null` where there is no provider at which they could. */
export async function openSignIn(
  { login, host }: Config,
  keys: () => AssertionKeys,
  member: Member | null,
  shared: Pick<Shared, "signedOut"> | null,
  parts: Pick<SignInParts, "denied" | "audit" | "rate">,
): Promise<SignIn | null> {
  if (login === null) return null;
  const [{ SignIn }, { IdTokens }] = await Promise.all([
    import("./sign-in/sign-in.ts"),
    import("./enrolment/id-token.ts"),
  ]);
  const signIn = new SignIn({
    ...login,
    ...parts,
    host,
    idTokens: new IdTokens(login.providers),
    secrets: (purpose, now) => keys().secrets(purpose, now),
    tellSignedOut: (id) => {
      member?.tellSignedOut(id);
      shared?.signedOut.tell(id);
    },
  });
  if (member !== null) member.onSignedOut = (id) => signIn.signedOut(id);
  shared?.signedOut.hear((id) => signIn.signedOut(id));
  return signIn;
}
