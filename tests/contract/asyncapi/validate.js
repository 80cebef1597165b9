// Reads an AsyncAPI document and everything it refers to; fails on errors and on warnings.
import { Parser, fromFile } from "@asyncapi/parser";

const ERROR = 0;
const WARNING = 1;

const path = process.argv[2];
const { document, diagnostics } = await fromFile(new Parser(), path).parse();
const wrong = diagnostics.filter(({ severity }) => severity === ERROR || severity === WARNING);
for (const { path: place, message } of wrong) console.error(`${place.join("/")}: ${message}`);
if (!document || wrong.length > 0) {
  console.error(`${path}: refused`);
  process.exit(1);
}
const counts = ["channels", "operations", "messages"].map(
  (kind) => `${document[kind]().all().length} ${kind}`,
);
console.log(`${path}: AsyncAPI ${document.version()}, ${counts.join(", ")}: valid`);
