// A plugin on the types that openapi-typescript makes of docs/openapi.yaml.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { paths } from "./contract.js";

type Asked<P extends keyof paths> = paths[P]["post"]["requestBody"]["content"]["application/json"];
type Answered<P extends keyof paths> = paths[P]["post"]["responses"][200]["content"]["application/json"];

const answers: { [P in keyof paths]?: (args: Asked<P>) => Answered<P> } = {
  "/workflow.preOperate": ({ workflow }) => ({
    workflow: { metadata: { annotations: { entrypoint: String(workflow.spec?.["entrypoint"]) } } },
  }),
  "/node.preExecute": ({ workflow, template, node }) => ({
    node: {
      phase: node.phase === "Pending" ? "Succeeded" : "Failed",
      message: `${node.displayName} of ${workflow.metadata.name}: ${template.container?.["image"]}`,
      outputs: { parameters: [{ name: "answer", value: 42 }], artifacts: [{ name: "file", s3: { key: "a" } }] },
    },
  }),
};

const server = createServer(async (request, response) => {
  const answer = answers[request.url as keyof paths] as ((args: unknown) => unknown) | undefined;
  const args: unknown = JSON.parse(await text(request));
  const reply = answer ? JSON.stringify(answer(args)) : "";
  response.writeHead(answer ? 200 : 404, { "Content-Length": Buffer.byteLength(reply) }).end(reply);
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
