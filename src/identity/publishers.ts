import { type AllowRule, globMatches } from "./policy.ts";

/** Who may publish agents of a name; `*` in it stands for one or more characters. */
export interface TunnelRule {
  readonly name: string;
  readonly rule: AllowRule;
}

/** The rules for one name, any of which will do. None: nobody may. */
export const publisherRules = (rules: readonly TunnelRule[], name: string): readonly AllowRule[] =>
  rules.filter((one) => globMatches(one.name, name)).map(({ rule }) => rule);
