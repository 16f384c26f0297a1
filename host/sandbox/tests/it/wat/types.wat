  ;; The types of wit/v0.1, as a component imports them.
  (import "modelzoo:source/types@0.1.0" (instance $types
    (type $artifact (record (field "name" string) (field "size" u64) (field "sha256" string)))
    (export "artifact" (type (eq $artifact)))
    (type $failure (record (field "status" u16) (field "url" string)))
    (export "http-failure" (type $http-failure (eq $failure)))
    (type $error (variant
      (case "invalid-input" string) (case "not-found" string) (case "denied" string)
      (case "network" string) (case "status" $http-failure) (case "mismatch" string)
      (case "limit" string) (case "io" string) (case "unsupported" string) (case "other" string)))
    (export "error" (type (eq $error)))))
  (alias export $types "artifact" (type $artifact))
  (alias export $types "error" (type $error))
  (import "modelzoo:source/log@0.1.0" (instance $log
    (type $level (enum "debug" "info" "warn" "error"))
    (export "level" (type $named-level (eq $level)))
    (export "log" (func (param "level" $named-level) (param "message" string)))))

  ;; Memory, and an allocator that never frees.
  (core module $libc
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (block $enough
        (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "cabi_realloc" (core func $realloc))
  (core func $log (canon lower (func $log "log") (memory $memory)))
