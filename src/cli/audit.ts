import { auditVerify } from "./audit-verify.ts";
import { type Command, UsageError } from "./command.ts";

export const audit: Command = {
  usage: auditVerify.usage,

  run([part, ...rest], io) {
    if (part !== "verify") throw new UsageError('expected "sallyport audit verify FILE..."');
    return auditVerify.run(rest, io);
  },
};
