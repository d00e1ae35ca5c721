// Gives templates variables from outside, in Node.js, without dependencies: see parameters.py.
import { readFile, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

const folder = process.env.PARAMETERS_DIR ?? join(import.meta.dirname, "values");

async function add({ workflow }) {
  const own = join(folder, workflow.metadata.namespace);
  const files = (await readdir(own).catch(() => [])).filter((name) => !name.startsWith("."));
  const read = async (name) => [name, (await readFile(join(own, name), "utf8")).trimEnd()];
  return { parameters: Object.fromEntries(await Promise.all(files.map(read))) };
}

const server = createServer(async (request, response) => {
  if (request.url !== "/parameters.add") return response.writeHead(404).end();
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  try {
    response.end(JSON.stringify(await add(JSON.parse(body))));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(process.env.PORT ?? 4355, "localhost", () => console.error("listening on", server.address().port));
