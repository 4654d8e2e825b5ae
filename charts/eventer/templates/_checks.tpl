{{/*
What values.schema.json cannot say: that values fit each other, and what the chart derives from the configuration.
The number of replicas is looked at again because whoever skips schemas must not start two. All faults are told at once.
*/}}
{{- define "eventer.check" -}}
{{- $faults := list -}}
{{- $config := .Values.config -}}

{{- if not (has (int .Values.replicas) (list 0 1)) -}}
{{- $faults = append $faults (printf "replicas: %v Eventers would fight for one journal; write 1, or 0 to pause it" .Values.replicas) -}}
{{- end -}}

{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- $faults = append $faults "rbac.create: the rights would go to the account `default`, and with it to every pod of the namespace; set serviceAccount.create, or name one in serviceAccount.name" -}}
{{- end -}}

{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) -}}
{{- $faults = append $faults "serviceMonitor.enabled: Prometheus finds the pod by its Service; set service.enabled" -}}
{{- end -}}

{{- range $index, $source := $config.sources -}}
{{- $kubernetes := $source.kubernetes | default dict -}}
{{- $path := printf "config.sources.%d.kubernetes" $index -}}
{{- if not (or $kubernetes.kubeconfig $kubernetes.context) -}}
{{- range $option := list "api" "namespaces" -}}
{{- if contains "${" (toJson (get $kubernetes $option)) -}}
{{- $faults = append $faults (printf "%s.%s: rights are derived from it, so it cannot be a variable; write it out" $path $option) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and .Values.persistence.mirror (eq .Values.persistence.type "pvc") -}}
{{- $faults = append $faults "persistence.mirror: a claim keeps the journal already; leave it out, or set persistence.type to emptyDir or memory" -}}
{{- end -}}
{{- if dig "state" "mirror" "" $config -}}
{{- $faults = append $faults "config.state.mirror: the chart writes it; set persistence.mirror: true, and it makes the ConfigMap and the rights as well" -}}
{{- end -}}

{{- $state := include "eventer.statePath" . -}}
{{- if eq $state "memory" -}}
{{- $faults = append $faults "config.state.path: the chart mounts what is in memory as well; leave the path out, and set persistence.type: memory" -}}
{{- else if or (not (isAbs $state)) (contains "${" $state) (contains ":" $state) (eq $state "/") -}}
{{- $faults = append $faults (printf "config.state.path: %s cannot be where a volume is mounted; write an absolute path without variables" $state) -}}
{{- end -}}
{{- range $taken := list "/etc/eventer" "/run/secrets" "/tmp" -}}
{{- if or (eq $state $taken) (hasPrefix (printf "%s/" $taken) $state) -}}
{{- $faults = append $faults (printf "config.state.path: %s is used for something else; write a path outside of /etc/eventer, /run/secrets and /tmp" $state) -}}
{{- end -}}
{{- end -}}

{{- $listen := include "eventer.listen" . -}}
{{- if not (regexMatch ":[1-9][0-9]*$" $listen) -}}
{{- $faults = append $faults (printf "config.server.listen: probes and Service need the port of %s; write it out, for example \":8080\"" $listen) -}}
{{- else if or (lt (int (include "eventer.port" .)) 1024) (gt (int (include "eventer.port" .)) 65535) -}}
{{- $faults = append $faults (printf "config.server.listen: the pod's user cannot open the port of %s; write one from 1024 to 65535, for example \":8080\"" $listen) -}}
{{- else if regexMatch "^(127\\.|localhost:|\\[::1\\])" $listen -}}
{{- $faults = append $faults (printf "config.server.listen: probes cannot reach %s; leave the host out, for example \":8080\"" $listen) -}}
{{- end -}}

{{- $places := list $state -}}
{{- range .Values.extraVolumeMounts -}}{{- $places = append $places (clean .mountPath) -}}{{- end -}}
{{- range $name, $sink := $config.sinks -}}
{{- if eq (toString $sink.kind) "file" -}}
{{- $file := clean (toString $sink.path) -}}
{{- $found := contains "${" $file -}}
{{- range $places -}}{{- if hasPrefix (printf "%s/" .) $file -}}{{- $found = true -}}{{- end -}}{{- end -}}
{{- if not $found -}}
{{- $faults = append $faults (printf "config.sinks.%s.path: %s is on no volume, and the container's own files cannot be written; write a path in %s, or mount a volume with extraVolumes and extraVolumeMounts" $name $file (join ", " $places)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- range $name, $sink := $config.sinks -}}
{{- if kindIs "map" $sink.headers -}}
{{- range $header, $value := $sink.headers -}}
{{- if and (has (lower $header) (list "authorization" "cookie" "proxy-authorization")) (not (contains "${" (toString $value))) -}}
{{- $faults = append $faults (printf "config.sinks.%s.headers.%s: a secret must not be in a ConfigMap; write ${NAME}, or use the option auth" $name $header) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $text := toYaml $config -}}
{{- range regexFindAll "/run/secrets/eventer/[-a-z0-9.]+" $text -1 | uniq -}}
{{- $name := base . -}}
{{- if not (has $name $.Values.secrets.files) -}}
{{- $faults = append $faults (printf "config: it names files of the Secret %s, which is not mounted; add it to secrets.files" $name) -}}
{{- end -}}
{{- end -}}

{{- if not .Values.secrets.env -}}
{{- $known := list "HOSTNAME" -}}
{{- range .Values.env -}}{{- $known = append $known .name -}}{{- end -}}
{{- range regexFindAll "\\$\\$|\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" $text -1 | uniq -}}
{{- $name := . | trimPrefix "${" | trimSuffix "}" -}}
{{- if not (or (eq . "$$") (has $name $known) (hasPrefix "KUBERNETES_" $name)) -}}
{{- $faults = append $faults (printf "config: nothing sets the variable %s; name the Secret that holds it in secrets.env, set it in env, or write $${%s} for the text itself" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if $faults -}}
{{- fail (printf "\n\n- %s\n" (join "\n- " $faults)) -}}
{{- end -}}
{{- end -}}
