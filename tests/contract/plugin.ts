// A plugin on the types that openapi-typescript makes of docs/openapi.yaml.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { paths } from "./contract.js";

type Call = paths["/node.preExecute"]["post"];
type Asked = Call["requestBody"]["content"]["application/json"];
type Answered = Call["responses"][200]["content"]["application/json"];

function answer({ workflow, node }: Asked): Answered {
  return { node: { phase: "Succeeded", message: `${node.displayName} of ${workflow.metadata.name}` } };
}

const server = createServer(async (request, response) => {
  const body = await text(request);
  const known = request.url === "/node.preExecute";
  const reply = known ? JSON.stringify(answer(JSON.parse(body) as Asked)) : "";
  response.writeHead(known ? 200 : 404, { "Content-Length": Buffer.byteLength(reply) }).end(reply);
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
