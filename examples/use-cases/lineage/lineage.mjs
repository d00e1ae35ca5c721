// Tells an OpenLineage server which datasets each node of a workflow read and wrote, in Node.js, without dependencies.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const url = `${process.env.OPENLINEAGE_URL}/api/v1/lineage`;
const producer = "https://example.com/oarlock/lineage";
const spec = "https://openlineage.io/spec";
const ends = { Succeeded: "COMPLETE", Failed: "FAIL", Error: "FAIL" };

// The same for the same node, so that what is told twice is told of one run: a UUID of version 5 (RFC 9562).
function runId(...parts) {
  const namespace = Buffer.from("6ba7b8119dad11d180b400c04fd430c8", "hex"); // of URLs
  const bytes = createHash("sha1").update(namespace).update([producer, ...parts].join("/")).digest();
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const facet = (name, value) => ({ _producer: producer, _schemaURL: `${spec}/facets/${name}`, ...value });

// As OpenLineage's naming conventions have them for S3.
const datasets = ({ artifacts = [] } = {}) =>
  artifacts.filter(({ s3 }) => s3).map(({ s3 }) => ({ namespace: `s3://${s3.bucket ?? ""}`, name: s3.key }));

async function tell({ workflow: { metadata }, template, old, new: node }) {
  if (node.type !== "Pod" || old.phase === node.phase) return;
  const { namespace, name, uid } = metadata;
  const [states, now] = [[], new Date().toISOString()];
  if (old.phase === "Pending") states.push(["START", node.startedAt ?? now]);
  if (node.phase in ends) states.push([ends[node.phase], node.finishedAt ?? now]);
  for (const [eventType, eventTime] of states) {
    const parent = { run: { runId: runId(uid) }, job: { namespace, name } };
    const facets = { parent: facet("1-1-0/ParentRunFacet.json#/$defs/ParentRunFacet", parent) };
    if (eventType === "FAIL") {
      const error = { message: node.message ?? "", programmingLanguage: "argo" };
      facets.errorMessage = facet("1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet", error);
    }
    const event = {
      eventType,
      eventTime,
      run: { runId: runId(uid, node.id), facets },
      job: { namespace, name: `${name}.${node.displayName}` },
      inputs: datasets(template.inputs),
      outputs: datasets(template.outputs),
      producer,
      schemaURL: `${spec}/2-0-2/OpenLineage.json#/$defs/RunEvent`,
    };
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(event) });
    if (!response.ok) throw new Error(`status ${response.status}`);
  }
}

const server = createServer(async (request, response) => {
  if (request.url !== "/node.postExecute") return response.writeHead(404).end();
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  try {
    await tell(JSON.parse(body));
    response.end("{}");
  } catch (error) {
    response.writeHead(503, { "Retry-After": 5 }).end(`no lineage is kept: ${error.message}`);
  }
});
server.listen(process.env.PORT ?? 4355, "localhost", () => console.error("listening on", server.address().port));
