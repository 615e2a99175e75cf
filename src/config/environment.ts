import { fail } from "./query.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** `${NAME}` from the environment, encoded so that a value can't become anything but a value. */
export function expand(text: string, env: Environment): string {
  return text.replace(/\$\{([^}]*)\}?/g, (whole, name: string) => {
    if (!/^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(whole))
      fail(`holds a \${ that is no \${NAME}; a literal one is written %24{`);
    const value = env[name];
    return value === undefined
      ? fail(`\${${name}} is not set in the environment`)
      : encodeURIComponent(value);
  });
}
