// Runs `plugin: {spark: ...}` templates on Spark, in Node.js, without dependencies: see spark.py.
import { createServer } from "node:http";

const url = `${process.env.SPARK_URL ?? "http://localhost:6066"}/v1/submissions`;
const ends = { FINISHED: "Succeeded", FAILED: "Failed", KILLED: "Failed", ERROR: "Error" };
// What was submitted and is not yet heard of: a call may come again while the first one is answered, or after that.
const submitting = new Map();

// What identifies a job: another one in each attempt and each turn of a loop.
const key = ({ workflow, node }) => `${workflow.metadata.uid}/${node.id}`;

// The engine keeps the node for us, so a plugin that is started again goes on where it was.
async function find(args) {
  const known = args.node.outputs?.parameters?.find(({ name }) => name === "submission")?.value;
  if (known) submitting.delete(key(args));
  return known ?? (await submitting.get(key(args)));
}

function begin(job, name) {
  if (!submitting.has(name)) {
    submitting.set(name, submit(job, name));
    submitting.get(name).catch(() => submitting.delete(name));
  }
  return submitting.get(name);
}

async function spark(path, body) {
  let response;
  try {
    response = await fetch(`${url}/${path}`, body && { method: "POST", body: JSON.stringify(body) });
  } catch (error) {
    throw Object.assign(new Error(`Spark does not answer: ${error.cause}`), { status: 503 });
  }
  const reply = await response.json();
  if (!reply.success) throw new Error(`Spark refuses ${path}: ${reply.message ?? ""}`);
  return reply;
}

async function submit({ appResource, mainClass, appArgs = [], sparkProperties = {} }, name) {
  const reply = await spark("create", {
    action: "CreateSubmissionRequest",
    clientSparkVersion: "4.0.0",
    environmentVariables: {},
    sparkProperties: { "spark.app.name": name, ...sparkProperties },
    appResource,
    mainClass,
    appArgs,
  });
  return reply.submissionId;
}

const methods = {
  async "/template.execute"(args) {
    const job = args.template.plugin.spark;
    if (!job) return {}; // another plugin's
    const submission = (await find(args)) ?? (await begin(job, key(args)));
    const state = (await spark(`status/${submission}`)).driverState;
    const outputs = { parameters: [{ name: "submission", value: submission }] };
    const node = { phase: ends[state] ?? "Running", message: `${submission}: ${state}`, outputs };
    return state in ends ? { node } : { node, requeue: "10s" };
  },
  async "/template.stop"(args) {
    const submission = await find(args);
    if (submission) await spark(`kill/${submission}`, {});
    return {};
  },
};

const server = createServer(async (request, response) => {
  const method = methods[request.url];
  if (!method) return response.writeHead(404).end();
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  try {
    response.end(JSON.stringify(await method(JSON.parse(body))));
  } catch ({ status = 500, message }) {
    response.writeHead(status, status === 503 ? { "Retry-After": 5 } : {}).end(message);
  }
});
server.listen(process.env.PORT ?? 4355, "localhost", () => console.error("listening on", server.address().port));
