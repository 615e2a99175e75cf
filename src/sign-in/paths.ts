/** What is the router's own at every host that browsers sign in to. */
export const ownFolder = "/.well-known/sallyport/";

/** Where a provider sends browsers, at `SALLYPORT_HOST` alone; from there they come to the same path of their own host. */
export const callbackPath = `${ownFolder}callback`;
export const signInPath = `${ownFolder}sign-in`;
export const signOutPath = `${ownFolder}sign-out`;

/** Beyond that a login leads to the front page. */
const maxReturn = 1024;

/**
 * Where on its own host a browser goes after signing in: a path and query. What could be read as another host is none
 * (`//other`, `/\other`), though it would only ever stand behind a host of ours.
 */
export function returnPath(text: string | null): string {
  if (text === null || text.length > maxReturn || !/^\/(?![/\\])[\x21-\x7e\x80-\xff]*$/.test(text))
    return "/";
  if (text.startsWith(ownFolder)) return "/";
  // As it came from the wire: a byte a character.
  return text.replace(/[\x80-\xff]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
