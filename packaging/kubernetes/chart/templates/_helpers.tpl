{{- define "openperouter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "openperouter.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "openperouter.labels" -}}
{{ include "openperouter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "openperouter.image" -}}
{{ .Values.openperouter.image.repository }}:{{ default .Chart.AppVersion .Values.openperouter.image.tag }}
{{- end -}}

{{- define "openperouter.routerAccount" -}}
{{- default (printf "%s-router" (include "openperouter.fullname" .)) .Values.openperouter.serviceAccounts.perouter.name -}}
{{- end -}}

{{- define "openperouter.controllerAccount" -}}
{{- default (printf "%s-controller" (include "openperouter.fullname" .)) .Values.openperouter.serviceAccounts.controller.name -}}
{{- end -}}
