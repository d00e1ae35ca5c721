// A plugin in Node.js, without dependencies. It knows what {{hello}} means, and executes `plugin:` templates.
import { createServer } from "node:http";

const methods = {
  "/parameters.add": () => ({ parameters: { hello: "good morning" } }),
  "/template.execute": ({ template }) => {
    const wish = template?.plugin?.greeting;
    if (!wish) return {}; // not for us: the next plugin is asked
    return { node: { phase: "Succeeded", message: `${wish.words}, ${wish.to}` } };
  },
};

const server = createServer(async (request, response) => {
  const method = methods[request.url];
  if (!method) return response.writeHead(404).end();
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  try {
    response.end(JSON.stringify(method(JSON.parse(body))));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(4356, "localhost", () => console.error("listening on port 4356"));
