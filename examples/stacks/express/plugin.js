// Express: `npm install` in this folder, then `node plugin.js`.
import express from "express";

const app = express();
app.use(express.json({ limit: "64mb" }));

app.post("/node.preExecute", (request, response) => {
  response.json({ node: { message: `seen ${request.body.node.displayName}` } });
});

app.post("/parameters.add", (request, response) => {
  response.json({ parameters: { hello: "good morning" } });
});

app.listen(4355, "localhost");
