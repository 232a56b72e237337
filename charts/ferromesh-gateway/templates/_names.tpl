{{- define "gateway.name" -}}
{{ .Values.name | default .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* By these the Deployment, the Service and the rest know the pods; they can never change. */}}
{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: gateway
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* By these Gateways select the pods. */}}
{{- define "gateway.selected" -}}
{{- $usual := dict "istio" (include "gateway.name" . | trimPrefix "istio-") -}}
{{ toYaml (.Values.labels | default $usual) }}
{{- end }}

{{/* Whether there is another pod while one is away. */}}
{{- define "gateway.spare" -}}
{{- $least := ternary .Values.autoscaling.minReplicas .Values.replicas .Values.autoscaling.enabled -}}
{{ if gt (int $least) 1 }}yes{{ end }}
{{- end }}
