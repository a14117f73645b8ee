{{- define "loa.pod" }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 60
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile: { type: RuntimeDefault }
      volumes:
        - { name: tmp, emptyDir: {} }
        - { name: run, emptyDir: {} }
{{- end }}

{{- define "loa.container" }}
          image: {{ required "image must name a digest" .Values.image | quote }}
          securityContext:
            readOnlyRootFilesystem: true
            allowPrivilegeEscalation: false
            capabilities: { drop: [ALL] }
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
            - { name: run, mountPath: /run/loa }
          envFrom:
            - secretRef: { name: {{ .Values.secretName | quote }} }
          env:
{{- range $name, $value := .Values.environment }}
            - { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}
