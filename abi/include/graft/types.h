/* graft/types.h: what the application header and the plugin header share. It declares no
 * functions, so a plugin that includes it can never reference a symbol of libgraft by accident. */
#ifndef GRAFT_TYPES_H
#define GRAFT_TYPES_H
#include <stddef.h>
#include <stdint.h>

#define GRAFT_ABI_MAJOR 0 /* part of the entry symbol's name: a new major is a new symbol */
#define GRAFT_ABI_MINOR 4 /* while the major is 0, host and plugin must agree on the minor */

#ifdef __cplusplus
#define GRAFT_BEGIN extern "C" {
#define GRAFT_END }
#else
#define GRAFT_BEGIN
#define GRAFT_END
#endif

/* RULES
 * (1) 64-bit targets. Only fixed-width types, pointers and size_t cross; an enum crosses as int32_t
 *     or uint32_t. A receiver treats an unknown value as GRAFT_UNSUPPORTED.
 * (2) A struct marked GROWS starts with struct_size, travels by single pointer, grows only at its
 *     end and has no padding; a field beyond struct_size reads as 0 or NULL.
 * (3) A struct marked FROZEN never changes: it may sit in arrays.
 * (4) Who allocates frees. Nobody frees the other side's memory.
 * (5) No exception and no longjmp crosses.
 * (6) Strings are UTF-8 and NUL-terminated.
 * (7) No global state: every handle that a plugin gets begins with the table that works on it. */
#define GRAFT_HAS(p, T, f) ((p)->struct_size >= offsetof(T, f) + sizeof(((T*)0)->f) && (p)->f)

/* 0: done. Above 0: an answer that is no error. Below 0: an error; outputs are untouched. */
typedef int32_t graft_status;
enum {
  GRAFT_OK = 0,
  GRAFT_SKIP = 1,        /* "not here": a method declines a site */
  GRAFT_UNSUPPORTED = 2, /* the thing is valid, but this build or plugin does not do it */
  GRAFT_INTERRUPTED = 3, /* stopped on request, all work saved */
  GRAFT_E_INVALID = -1,  /* an argument, a configuration or a file's content is wrong */
  GRAFT_E_NOT_FOUND = -2,
  GRAFT_E_NO_MEMORY = -3, /* also: the plan exceeds the memory limit */
  GRAFT_E_IO = -4,        /* reading or writing failed (missing permission, full disk, ...) */
  GRAFT_E_VERSION = -5,   /* ABI or file version that this build does not take */
  GRAFT_E_STATE = -6,     /* called in the wrong order */
  GRAFT_E_BUSY = -7,      /* in use by another run */
  GRAFT_E_DENIED = -8,    /* a trust check refused */
  GRAFT_E_CANCELLED = -9,
  GRAFT_E_DEVICE = -10,
  GRAFT_E_INTERNAL = -11, /* a defect of graft or of a plugin */
  GRAFT_E_DIVERGED = -12, /* the loss is not a number, or above train.stop_loss */
  GRAFT_E_CONFIG = -13    /* RUN.json, options or a request are wrong as they are written */
};

typedef struct graft_error { /* FROZEN, 512 bytes; owned by the caller, often on its stack */
  graft_status code;
  uint32_t reserved;
  char message[504]; /* always terminated, cut at a code point */
} graft_error;

/* DLPack type code and bits per element. */
#define GRAFT_DTYPE(code, bits) ((uint32_t)(code) | ((uint32_t)(bits) << 8))
enum {
  GRAFT_F64 = GRAFT_DTYPE(2, 64),
  GRAFT_F32 = GRAFT_DTYPE(2, 32),
  GRAFT_F16 = GRAFT_DTYPE(2, 16),
  GRAFT_BF16 = GRAFT_DTYPE(4, 16),
  GRAFT_I8 = GRAFT_DTYPE(0, 8),
  GRAFT_U8 = GRAFT_DTYPE(1, 8),
  GRAFT_I32 = GRAFT_DTYPE(0, 32),
  GRAFT_I64 = GRAFT_DTYPE(0, 64),
  GRAFT_QUANT = GRAFT_DTYPE(3, 0) /* a block format: see graft_quant */
};

/* A quantized tensor: `data` holds packed blocks, the auxiliary buffers hold what decodes them. It is
 * a row-major [rows, columns] matrix; graft/quant.hpp reads every format as plain code.
 * "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "q2_k" to "q6_k": the blocks of GGUF, along the
 *   last axis; aux is unused.
 * "nf4", "fp4": element e of the whole matrix (row-major) is a nibble, the even one of a byte being
 *   the high one, and reads as book[nibble] scale[e / block_elements]. aux[0]: F32 scales, or, where
 *   aux[1] is given, U8 codes of them: scale[b] = map[code[b]] aux[1][b / 256] + offset, each
 *   operation rounded to F32. aux[2]: F32 book [16]. aux[3]: F32 map [256], then the offset.
 * "int8": I8 codes; a block is a row. aux[0]: F32 [rows]; code aux[0][row] times F32(1/127). FROZEN. */
typedef struct graft_quant {
  const char* format; /* "nf4", "q4_0", ...; lives as long as the library */
  const void* data;   /* packed blocks */
  uint64_t data_bytes;
  const void* aux[4]; /* scales, nested scales, code book, offset; NULL where unused */
  uint64_t aux_bytes[4];
  int64_t block_elements; /* elements in a block */
  int64_t block_bytes;    /* bytes of a block in `data` */
  int64_t rows, columns;  /* logical shape */
} graft_quant;

typedef struct graft_tensor graft_tensor; /* opaque, host-owned */
#endif
