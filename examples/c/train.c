/* Trains a few steps of RUN.json, saves the adapter, and goes on from a prompt with it.
 *
 *   ./train RUN.json MODEL ADAPTER_DIR PROMPT
 */
#include <graft/graft.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 5 };

/* Ends the program when a call failed: negative statuses are errors, positive ones answers. */
static graft_status check(graft_status status, const graft_error* error, const char* what) {
  if (status < 0) {
    fprintf(stderr, "train: %s: %s (status %d)\n", what, error->message, (int)status);
    exit(1);
  }
  return status;
}

static void on_log(void* user, int32_t level, const char* source, const char* message) {
  (void)user;
  (void)level;
  fprintf(stderr, "%s: %s\n", source, message);
}

static int32_t on_text(void* user, const char* piece, size_t size) {
  (void)user;
  fwrite(piece, 1, size, stdout);
  fflush(stdout);
  return 0; /* anything else stops */
}

static char* read_file(const char* path) {
  FILE* file = fopen(path, "rb");
  char* text = NULL;
  size_t size = 0;
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  for (;;) {
    char* larger = realloc(text, size + 65536);
    if (larger == NULL) {
      fprintf(stderr, "train: out of memory\n");
      exit(1);
    }
    text = larger;
    const size_t n = fread(text + size, 1, 65535, file);
    size += n;
    if (n == 0) break;
  }
  text[size] = 0;
  fclose(file);
  return text;
}

/* The folder of a path, "." where it names none: relative paths in RUN.json begin there. */
static char* folder_of(const char* path) {
  const char* slash = strrchr(path, '/');
  const size_t size = slash == NULL ? 1 : (size_t)(slash - path) + 1;
  char* folder = malloc(size + 1);
  if (folder == NULL) exit(1);
  memcpy(folder, slash == NULL ? "." : path, size);
  folder[size] = 0;
  return folder;
}

/* Appends a JSON string; the caller made room for six times its length and two quotes. */
static char* put_string(char* out, const char* text) {
  *out++ = '"';
  for (; *text != 0; ++text) {
    const unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\') *out++ = '\\';
    if (c < 0x20) {
      out += sprintf(out, "\\u%04x", (unsigned)c);
    } else {
      *out++ = (char)c;
    }
  }
  *out++ = '"';
  *out = 0;
  return out;
}

/* before + text as a JSON string + after */
static char* json_with(const char* before, const char* text, const char* after) {
  char* json = malloc(strlen(before) + 6 * strlen(text) + strlen(after) + 3);
  if (json == NULL) exit(1);
  strcpy(json, before);
  strcpy(put_string(json + strlen(before), text), after);
  return json;
}

static void train(graft_engine* engine, const char* path, const char* adapter) {
  graft_error error;
  graft_session* session = NULL;
  graft_text* plan = NULL;
  char* config = read_file(path);
  char* folder = folder_of(path);
  check(graft_session_create(engine, config, folder, NULL, &session, &error), &error, path);
  check(graft_session_plan_text(session, &plan, &error), &error, "plan");
  fputs(graft_text_data(plan), stdout);
  graft_text_destroy(plan);
  for (int i = 0; i < STEPS; ++i) {
    graft_metrics metrics = {0};
    metrics.struct_size = sizeof metrics;
    if (check(graft_session_step(session, &metrics, &error), &error, "step") == GRAFT_SKIP) break;
    printf("step %" PRId64 ": loss %.4f over %" PRId64 " tokens\n", metrics.step, metrics.loss,
           metrics.tokens);
  }
  check(graft_session_save(session, adapter, &error), &error, "save");
  graft_session_destroy(session);
  free(folder);
  free(config);
}

static void generate(graft_engine* engine, const char* path, const char* adapter,
                     const char* prompt) {
  graft_error error;
  graft_model* model = NULL;
  graft_text* answer = NULL;
  char* options = json_with("{\"adapters\": [{\"path\": ", adapter, "}]}");
  char* request = json_with("{\"greedy\": true, \"max_new_tokens\": 16, \"prompt\": ", prompt, "}");
  check(graft_model_open(engine, path, options, &model, &error), &error, path);
  printf("%s", prompt);
  check(graft_generate(model, request, on_text, NULL, &answer, &error), &error, "generate");
  printf("\n%s\n", graft_text_data(answer));
  graft_text_destroy(answer);
  graft_model_destroy(model);
  free(request);
  free(options);
}

int main(int argc, char** argv) {
  graft_error error;
  graft_engine* engine = NULL;
  if (argc != 5) {
    fprintf(stderr, "usage: %s RUN.json MODEL ADAPTER_DIR PROMPT\n", argv[0]);
    return 2;
  }
  if (graft_abi_version() >> 16 != GRAFT_ABI_MAJOR) {
    fprintf(stderr, "train: libgraft %s has another ABI than graft.h\n", graft_version());
    return 1;
  }
  check(graft_engine_create(NULL, &engine, &error), &error, "engine");
  graft_engine_set_log(engine, on_log, NULL, 1);
  train(engine, argv[1], argv[3]);
  generate(engine, argv[2], argv[3], argv[4]);
  graft_engine_destroy(engine);
  return 0;
}
