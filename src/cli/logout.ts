import type { Command } from "./command.ts";
import { options } from "./options.ts";
import { profileFolder, removeProfile } from "./profile.ts";

export const logout: Command = {
  usage: `Usage: sallyport logout

Removes the profile that "sallyport login" keeps, the private keys first. A copy of it made
before stays good until the certificate expires, or is revoked at the authority.`,

  async run(args, io) {
    options(args, {});
    const folder = profileFolder(io.env);
    io.out(removeProfile(folder) ? `removed the profile in ${folder}` : "there was no profile");
    return 0;
  },
};
