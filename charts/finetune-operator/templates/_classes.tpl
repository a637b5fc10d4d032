{{- /* The classes of an operator that may not read those of the cluster. */}}
{{- define "finetune.classes" -}}
{{- if .Values.provisioners }}
{{- fail "provisioners: they make objects of the whole cluster, and with watch.namespaces the operator uses the nodes that there are: leave it empty" }}
{{- end }}
{{- if .Values.class.create }}
---
apiVersion: finetune.dev/v1beta1
kind: FineTuneClass
metadata:
  name: default
spec:
  {{- include "finetune.class" . | nindent 2 }}
{{- end }}
{{- range $name, $spec := .Values.watch.classes }}
---
apiVersion: finetune.dev/v1beta1
kind: FineTuneClass
metadata:
  name: {{ $name }}
spec:
  {{- toYaml $spec | nindent 2 }}
{{- end }}
{{- end }}
