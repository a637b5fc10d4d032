{{- /* Spec of the FineTuneClass default. */}}
{{- define "finetune.class" -}}
images:
  trainer: {{ required "images.trainer: give the trainer's image as name@sha256:…" .Values.images.trainer }}
  {{- with .Values.images.serve }}
  serve: {{ . }}
  {{- end }}
  {{- with .Values.images.vllm }}
  vllm: {{ . }}
  {{- end }}
{{- with .Values.class.provisioner }}
provisioner:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $allowed := dict }}
{{- range $limit, $value := .Values.class.allowed }}
{{- if $value }}
{{- $_ := set $allowed $limit $value }}
{{- end }}
{{- end }}
{{- with $allowed }}
allowed:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.class.budget }}
budget:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.class.modelCache }}
modelCache:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.network }}
network:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.class.insecureRegistries }}
insecureRegistries:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
