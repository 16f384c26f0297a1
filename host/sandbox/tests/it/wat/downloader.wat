  (func $download-model
    (param "model-name" string) (param "model-path" string)
    (result (result (error $error)))
    (canon lift (core func $main "download-model") (memory $memory) (realloc $realloc)))
  (instance $downloader (export "download-model" (func $download-model)))
  (export "modelzoo:source/downloader@0.1.0" (instance $downloader))
