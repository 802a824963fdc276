;; The next rule of a chain that a packet may match: scanScalar of scan.ts, sixteen rules a turn. scan-module.ts has this file
;; assembled. A rule may match where ((key ^ packet) & (MASK + (dst == address ? -1 : 0))) < 1.
(module
  (import "rules" "memory" (memory 1))
  ;; $dst, $key: where the first rule's words are, in bytes; $end: where the last rule's first word ends. $address, $packet: what the
  ;; packet has to compare with them. Returns where it stopped, and leaves the sum of the sizes passed in the memory's first word.
  (func (export "scan")
    (param $dst i32) (param $key i32) (param $end i32) (param $address i32) (param $packet i32) (result i32)
    (local $full i32) (local $size i32) (local $word i32)
    (local $addresses v128) (local $packets v128) (local $masks v128) (local $ones v128) (local $sizes v128)
    (local $k0 v128) (local $k1 v128) (local $k2 v128) (local $k3 v128)
    (local.set $addresses (i32x4.splat (local.get $address)))
    (local.set $packets (i32x4.splat (local.get $packet)))
    ;; Node 24 makes a v128.const anew wherever it stands in the loop.
    (local.set $masks (i32x4.splat (i32.const 0x8007ffff)))
    (local.set $ones (i32x4.splat (i32.const 1)))
    (local.set $full (i32.sub (local.get $end) (i32.const 64)))
    (block $rest
      (br_if $rest (i32.gt_s (local.get $dst) (local.get $full)))
      (loop $turn
        (br_if $rest
          (i8x16.bitmask
            (v128.or
              (v128.or
                (i32x4.gt_s
                  (local.get $ones)
                  (v128.and
                    (v128.xor (local.tee $k0 (v128.load (local.get $key))) (local.get $packets))
                    (i32x4.add
                      (i32x4.eq (v128.load (local.get $dst)) (local.get $addresses))
                      (local.get $masks))))
                (i32x4.gt_s
                  (local.get $ones)
                  (v128.and
                    (v128.xor (local.tee $k1 (v128.load offset=16 (local.get $key))) (local.get $packets))
                    (i32x4.add
                      (i32x4.eq (v128.load offset=16 (local.get $dst)) (local.get $addresses))
                      (local.get $masks)))))
              (v128.or
                (i32x4.gt_s
                  (local.get $ones)
                  (v128.and
                    (v128.xor (local.tee $k2 (v128.load offset=32 (local.get $key))) (local.get $packets))
                    (i32x4.add
                      (i32x4.eq (v128.load offset=32 (local.get $dst)) (local.get $addresses))
                      (local.get $masks))))
                (i32x4.gt_s
                  (local.get $ones)
                  (v128.and
                    (v128.xor (local.tee $k3 (v128.load offset=48 (local.get $key))) (local.get $packets))
                    (i32x4.add
                      (i32x4.eq (v128.load offset=48 (local.get $dst)) (local.get $addresses))
                      (local.get $masks))))))))
        (local.set $sizes
          (i32x4.add
            (local.get $sizes)
            (i32x4.add
              (i32x4.add
                (i32x4.shr_u (local.get $k0) (i32.const 24))
                (i32x4.shr_u (local.get $k1) (i32.const 24)))
              (i32x4.add
                (i32x4.shr_u (local.get $k2) (i32.const 24))
                (i32x4.shr_u (local.get $k3) (i32.const 24))))))
        (local.set $key (i32.add (local.get $key) (i32.const 64)))
        (br_if $turn
          (i32.le_s
            (local.tee $dst (i32.add (local.get $dst) (i32.const 64)))
            (local.get $full)))))
    (local.set $size
      (i32.add
        (i32.add (i32x4.extract_lane 0 (local.get $sizes)) (i32x4.extract_lane 1 (local.get $sizes)))
        (i32.add (i32x4.extract_lane 2 (local.get $sizes)) (i32x4.extract_lane 3 (local.get $sizes)))))
    ;; The turn that has the rule, or the last rules, one by one.
    (block $found
      (loop $one
        (br_if $found (i32.eq (local.get $dst) (local.get $end)))
        (br_if $found
          (i32.lt_s
            (i32.and
              (i32.xor (local.tee $word (i32.load (local.get $key))) (local.get $packet))
              (i32.sub
                (i32.const 0x8007ffff)
                (i32.eq (i32.load (local.get $dst)) (local.get $address))))
            (i32.const 1)))
        (local.set $size (i32.add (local.get $size) (i32.shr_u (local.get $word) (i32.const 24))))
        (local.set $dst (i32.add (local.get $dst) (i32.const 4)))
        (local.set $key (i32.add (local.get $key) (i32.const 4)))
        (br $one)))
    (i32.store (i32.const 0) (local.get $size))
    (local.get $dst)))
