"""The operations of Argo Server's API: one table, of those that are answered here and those that are not."""

from __future__ import annotations

from typing import Final, NamedTuple


class Operation(NamedTuple):
    """One row: the path as in Argo's OpenAPI document, and the operation's name there, by which handlers are found."""

    method: str
    path: str
    name: str


def _rows(table: str) -> tuple[Operation, ...]:
    return tuple(Operation(*line.split()) for line in table.splitlines() if line.strip())


OPERATIONS: Final = _rows("""
    GET    /api/v1/workflows/{namespace}                                 WorkflowService_ListWorkflows
    POST   /api/v1/workflows/{namespace}                                 WorkflowService_CreateWorkflow
    POST   /api/v1/workflows/{namespace}/lint                            WorkflowService_LintWorkflow
    POST   /api/v1/workflows/{namespace}/submit                          WorkflowService_SubmitWorkflow
    GET    /api/v1/workflows/{namespace}/{name}                          WorkflowService_GetWorkflow
    DELETE /api/v1/workflows/{namespace}/{name}                          WorkflowService_DeleteWorkflow
    GET    /api/v1/workflows/{namespace}/{name}/log                      WorkflowService_WorkflowLogs
    PUT    /api/v1/workflows/{namespace}/{name}/resubmit                 WorkflowService_ResubmitWorkflow
    PUT    /api/v1/workflows/{namespace}/{name}/resume                   WorkflowService_ResumeWorkflow
    PUT    /api/v1/workflows/{namespace}/{name}/retry                    WorkflowService_RetryWorkflow
    PUT    /api/v1/workflows/{namespace}/{name}/set                      WorkflowService_SetWorkflow
    PUT    /api/v1/workflows/{namespace}/{name}/stop                     WorkflowService_StopWorkflow
    PUT    /api/v1/workflows/{namespace}/{name}/suspend                  WorkflowService_SuspendWorkflow
    PUT    /api/v1/workflows/{namespace}/{name}/terminate                WorkflowService_TerminateWorkflow
    GET    /api/v1/workflows/{namespace}/{name}/{podName}/log            WorkflowService_PodLogs
    GET    /api/v1/workflow-events/{namespace}                           WorkflowService_WatchWorkflows
    GET    /api/v1/stream/events/{namespace}                             WorkflowService_WatchEvents

    GET    /api/v1/workflow-templates/{namespace}              WorkflowTemplateService_ListWorkflowTemplates
    POST   /api/v1/workflow-templates/{namespace}              WorkflowTemplateService_CreateWorkflowTemplate
    POST   /api/v1/workflow-templates/{namespace}/lint         WorkflowTemplateService_LintWorkflowTemplate
    GET    /api/v1/workflow-templates/{namespace}/{name}       WorkflowTemplateService_GetWorkflowTemplate
    PUT    /api/v1/workflow-templates/{namespace}/{name}       WorkflowTemplateService_UpdateWorkflowTemplate
    DELETE /api/v1/workflow-templates/{namespace}/{name}       WorkflowTemplateService_DeleteWorkflowTemplate

    GET    /api/v1/cluster-workflow-templates         ClusterWorkflowTemplateService_ListClusterWorkflowTemplates
    POST   /api/v1/cluster-workflow-templates         ClusterWorkflowTemplateService_CreateClusterWorkflowTemplate
    POST   /api/v1/cluster-workflow-templates/lint    ClusterWorkflowTemplateService_LintClusterWorkflowTemplate
    GET    /api/v1/cluster-workflow-templates/{name}  ClusterWorkflowTemplateService_GetClusterWorkflowTemplate
    PUT    /api/v1/cluster-workflow-templates/{name}  ClusterWorkflowTemplateService_UpdateClusterWorkflowTemplate
    DELETE /api/v1/cluster-workflow-templates/{name}  ClusterWorkflowTemplateService_DeleteClusterWorkflowTemplate

    GET    /api/v1/cron-workflows/{namespace}                  CronWorkflowService_ListCronWorkflows
    POST   /api/v1/cron-workflows/{namespace}                  CronWorkflowService_CreateCronWorkflow
    POST   /api/v1/cron-workflows/{namespace}/lint             CronWorkflowService_LintCronWorkflow
    GET    /api/v1/cron-workflows/{namespace}/{name}           CronWorkflowService_GetCronWorkflow
    PUT    /api/v1/cron-workflows/{namespace}/{name}           CronWorkflowService_UpdateCronWorkflow
    DELETE /api/v1/cron-workflows/{namespace}/{name}           CronWorkflowService_DeleteCronWorkflow
    PUT    /api/v1/cron-workflows/{namespace}/{name}/resume    CronWorkflowService_ResumeCronWorkflow
    PUT    /api/v1/cron-workflows/{namespace}/{name}/suspend   CronWorkflowService_SuspendCronWorkflow

    GET    /api/v1/archived-workflows                          ArchivedWorkflowService_ListArchivedWorkflows
    GET    /api/v1/archived-workflows-label-keys               ArchivedWorkflowService_ListArchivedWorkflowLabelKeys
    GET    /api/v1/archived-workflows-label-values             ArchivedWorkflowService_ListArchivedWorkflowLabelValues
    GET    /api/v1/archived-workflows/{uid}                    ArchivedWorkflowService_GetArchivedWorkflow
    DELETE /api/v1/archived-workflows/{uid}                    ArchivedWorkflowService_DeleteArchivedWorkflow
    PUT    /api/v1/archived-workflows/{uid}/resubmit           ArchivedWorkflowService_ResubmitArchivedWorkflow
    PUT    /api/v1/archived-workflows/{uid}/retry              ArchivedWorkflowService_RetryArchivedWorkflow

    GET    /artifacts/{namespace}/{name}/{nodeId}/{artifactName}        ArtifactService_GetOutputArtifact
    GET    /input-artifacts/{namespace}/{name}/{nodeId}/{artifactName}  ArtifactService_GetInputArtifact
    GET    /artifacts-by-uid/{uid}/{nodeId}/{artifactName}              ArtifactService_GetOutputArtifactByUID
    GET    /input-artifacts-by-uid/{uid}/{nodeId}/{artifactName}        ArtifactService_GetInputArtifactByUID
    GET    /artifact-files/{namespace}/{idDiscriminator}/{id}/{nodeId}/{artifactDiscriminator}/{artifactName} \
 ArtifactService_GetArtifactFile
    GET    /artifact-files/{namespace}/{idDiscriminator}/{id}/{nodeId}/{artifactDiscriminator}/{artifactName}/{path} \
 ArtifactService_GetArtifactFile

    GET    /api/v1/info                                        InfoService_GetInfo
    GET    /api/v1/userinfo                                    InfoService_GetUserInfo
    GET    /api/v1/version                                     InfoService_GetVersion
    POST   /api/v1/tracking/event                              InfoService_CollectEvent

    POST   /api/v1/events/{namespace}/{discriminator}          EventService_ReceiveEvent
    GET    /api/v1/workflow-event-bindings/{namespace}         EventService_ListWorkflowEventBindings

    GET    /api/v1/event-sources/{namespace}                   EventSourceService_ListEventSources
    POST   /api/v1/event-sources/{namespace}                   EventSourceService_CreateEventSource
    GET    /api/v1/event-sources/{namespace}/{name}            EventSourceService_GetEventSource
    PUT    /api/v1/event-sources/{namespace}/{name}            EventSourceService_UpdateEventSource
    DELETE /api/v1/event-sources/{namespace}/{name}            EventSourceService_DeleteEventSource
    GET    /api/v1/stream/event-sources/{namespace}            EventSourceService_WatchEventSources
    GET    /api/v1/stream/event-sources/{namespace}/logs       EventSourceService_EventSourcesLogs
    GET    /api/v1/sensors/{namespace}                         SensorService_ListSensors
    POST   /api/v1/sensors/{namespace}                         SensorService_CreateSensor
    GET    /api/v1/sensors/{namespace}/{name}                  SensorService_GetSensor
    PUT    /api/v1/sensors/{namespace}/{name}                  SensorService_UpdateSensor
    DELETE /api/v1/sensors/{namespace}/{name}                  SensorService_DeleteSensor
    GET    /api/v1/stream/sensors/{namespace}                  SensorService_WatchSensors
    GET    /api/v1/stream/sensors/{namespace}/logs             SensorService_SensorsLogs
    POST   /api/v1/sync/{namespace}                            SyncService_CreateSyncLimit
    GET    /api/v1/sync/{namespace}/{key}                      SyncService_GetSyncLimit
    PUT    /api/v1/sync/{namespace}/{key}                      SyncService_UpdateSyncLimit
    DELETE /api/v1/sync/{namespace}/{key}                      SyncService_DeleteSyncLimit
""")
