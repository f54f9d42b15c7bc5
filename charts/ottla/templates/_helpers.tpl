{{- define "ottla.name" -}}
{{- if contains "ottla" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-ottla" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ottla.selector" -}}
app.kubernetes.io/name: ottla-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ottla.labels" -}}
{{ include "ottla.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "ottla.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "ottla.name" .) -}}
{{- end -}}

{{- /* Where no operator was asked for, none has held a topic; without a role there is nothing it could do. */ -}}
{{- define "ottla.releasesTopics" -}}
{{- and .Values.uninstall.releaseTopics .Values.rbac.create (gt (int .Values.replicas) 0) -}}
{{- end -}}

{{- define "ottla.uninstallLabels" -}}
app.kubernetes.io/name: ottla-uninstall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: uninstall
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "ottla.uninstallHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "ottla.rules" -}}
- apiGroups: [ottla.dev]
  resources: [kafkaclusters]
  verbs: [get, list, watch]
- apiGroups: [ottla.dev]
  resources: [kafkatopics]
  # patch: the finalizer.
  verbs: [get, list, watch, patch]
- apiGroups: [ottla.dev]
  resources: [kafkaclusters/status, kafkatopics/status]
  verbs: [get, patch]
- apiGroups: [ottla.dev]
  # Objects name their KafkaCluster as an owner that may not go before them.
  resources: [kafkaclusters/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [events]
  # Why a pod is not made, or does not start.
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
