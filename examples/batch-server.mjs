// A plugin in Node.js, without dependencies, that answers batches of all methods that have them.
import { createServer } from "node:http";

class NotNow extends Error {
  constructor(message, retryAfter) {
    super(message);
    Object.assign(this, { status: 503, retryAfter }); // in seconds
  }
}

const methods = {
  "parameters.add": ({ workflow }) => ({ parameters: { hello: `good morning, ${workflow.metadata.name}` } }),
  "node.preExecute": ({ node }) => {
    if (node.displayName === "busy") throw new NotNow("come back later", 2);
    return {};
  },
  "node.postExecute": ({ old, new: node }) =>
    node.phase === "Failed" ? { node: { message: `failed, was ${old.phase}` } } : {},
};

// All calls at the same time. What one of them throws is told in the place of its reply.
async function batch(method, { workflow, templates, calls }) {
  const answer = async (call) => method({ ...call, workflow, template: templates[call.template] });
  const tellError = ({ status = 500, message, retryAfter }) => ({ error: { status, message, retryAfter } });
  return { replies: await Promise.all(calls.map((call) => answer(call).catch(tellError))) };
}

const server = createServer(async (request, response) => {
  const name = request.url.slice(1);
  const method = methods[name.replace(/\.batch$/, "")];
  if (!method) return response.writeHead(404).end();
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  try {
    const args = JSON.parse(body);
    response.end(JSON.stringify(name.endsWith(".batch") ? await batch(method, args) : method(args)));
  } catch ({ status = 500, message, retryAfter }) {
    response.writeHead(status, retryAfter && { "Retry-After": retryAfter }).end(JSON.stringify({ message }));
  }
});
server.listen(4356, "localhost", () => console.error("listening on port 4356"));
