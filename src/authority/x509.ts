// The order matters: @peculiar/x509 asks for Reflect's metadata methods while it loads.
import "reflect-metadata";

export * from "@peculiar/x509";
