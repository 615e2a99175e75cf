import { auditVerify } from "./audit-verify.ts";
import { type Command, UsageError } from "./command.ts";

const parts = [auditVerify];

export const audit: Command = {
  name: "audit",
  summary: "prove that an audit log is whole",
  usage: auditVerify.usage,

  run(args, io) {
    const [name, ...rest] = args;
    const part = parts.find((one) => one.name === name);
    if (part === undefined)
      throw new UsageError(`${name ?? "nothing"}: expected "sallyport audit verify FILE..."`);
    return part.run(rest, io);
  },
};
