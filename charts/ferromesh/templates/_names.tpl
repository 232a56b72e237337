{{/* Where images come from: the registry, if one is named, and the path in it. */}}
{{- define "ferromesh.hub" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- end }}

{{- define "ferromesh.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The operator's own image. */}}
{{- define "ferromesh.image" -}}
{{ include "ferromesh.hub" . }}/ferromesh:{{ include "ferromesh.tag" . }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "ferromesh.labels" -}}
app.kubernetes.io/name: ferromesh-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: ferromesh
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "ferromesh.selector" -}}
app.kubernetes.io/name: ferromesh-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
Metadata of a role that the running mesh is bound to. Helm leaves it when the release is removed, or the mesh would lose its
rights; the operator makes the chart's ClusterRole ferromesh-operator and each MeshInstall its owners, so that it goes with
the last of them.
*/}}
{{- define "ferromesh.meshRole" -}}
labels:
  {{- include "ferromesh.labels" . | nindent 2 }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}

{{/* The roles of the control plane's parts, and the operator's own that it binds as they are needed; they outlive the release. */}}
{{- define "ferromesh.meshRoles" -}}
- ferromesh-citadel
- ferromesh-citadel-namespaced
- ferromesh-cni
- ferromesh-cni-repair
- ferromesh-galley
- ferromesh-galley-namespaced
- ferromesh-injector
- ferromesh-kiali
- ferromesh-pilot
- ferromesh-pilot-configuration
- ferromesh-prometheus
- ferromesh-proxies
- ferromesh-rollout
{{- end }}

{{/* The roles that the operator may bind: the control plane's, and its own in the mesh's namespace. */}}
{{- define "ferromesh.boundRoles" -}}
{{ include "ferromesh.meshRoles" . }}
- ferromesh-operator-namespaced
{{- end }}

{{/*
Names with those of each revision after them, and those of the places where a control plane can stand that is upgraded by a
revision: dict "names" LIST "root" $
*/}}
{{- define "ferromesh.withRevisions" -}}
{{- range .names }}
- {{ . }}
{{- $name := . }}
{{- range concat (list "blue" "green") $.root.Values.revisions }}
- {{ $name }}-{{ . }}
{{- end }}
{{- end }}
{{- end }}
