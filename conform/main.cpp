// graft-conform PLUGIN: gives every kernel of a backend plugin one list of problems and compares
// with reference kernels in f64.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "oracle.hpp"

namespace graft::conform {
namespace {

const char kUsage[] =
    "usage: graft-conform [options] PLUGIN.so\n"
    "  Runs every kernel of a backend plugin on a list of problems and compares with reference\n"
    "  kernels in f64. Exit status: 0 all right, 1 something is wrong, 2 cannot be tested.\n"
    "  --list                 the kernels and their numbers of problems; needs no plugin\n"
    "  --only KERNEL          this kernel alone (\"matmul\" or \"matmul/1\"); may be repeated\n"
    "  --config /POINTER=TEXT an entry of the backend's configuration; may be repeated\n"
    "  --all-failures         every failing problem, not the first three of each line\n";

struct Options {
  std::string plugin;
  std::vector<std::string> only;
  Settings settings;
  bool list = false, all_failures = false;
};

// What a signal handler can say: the problem that runs.
char current[512];

void crashed(int number) {
  const char text[] = "\ngraft-conform: the backend crashed in ";
  ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
  ignored = write(STDERR_FILENO, current, strnlen(current, sizeof current));
  ignored = write(STDERR_FILENO, "\n", 1);
  static_cast<void>(ignored);
  static_cast<void>(number);
  _exit(1);
}

struct Line {
  std::size_t problems = 0, declined = 0;
  std::vector<std::string> failures;
  double worst = 0;
  bool rows_matter = false;
};

Line run_line(const Device& device, const graft_kernel& kernel, const KernelProblems& list,
              std::uint32_t type) {
  Maker make(list.kernel, type);
  list.make(make);
  Line line;
  for (const Problem& problem : make.take()) {
    const bool odd_start = line.problems++ % 2;
    std::snprintf(current, sizeof current, "%s %s, problem '%s'", list.kernel,
                  backend::dtype_name(type), problem.what.c_str());
    const Verdict verdict = check(device, kernel, problem, odd_start);
    line.worst = std::max(line.worst, verdict.worst);
    line.rows_matter |= verdict.rows_matter;
    line.declined += verdict.declined;
    std::string failure = verdict.failure;
    if (verdict.declined && !quantized(problem) && is_required(list.kernel))
      failure = "supports() refuses what its line in graft/plugin.h allows";
    if (!failure.empty()) line.failures.push_back(std::string(current) + ": " + failure);
  }
  return line;
}

std::vector<std::uint32_t> types_of(const KernelProblems& list, const Device* device) {
  if (list.types == Types::kF32) return {GRAFT_F32};
  if (list.types == Types::kEvery) return {GRAFT_F64, GRAFT_F32, GRAFT_F16, GRAFT_BF16, GRAFT_I32};
  return device ? device->types() : std::vector<std::uint32_t>{GRAFT_F32, GRAFT_BF16, GRAFT_F64};
}

bool wanted(const Options& options, const std::string& kernel) {
  if (options.only.empty()) return true;
  const std::string base = kernel.substr(0, kernel.find('/'));
  return std::any_of(options.only.begin(), options.only.end(),
                     [&](const std::string& name) { return name == kernel || name == base; });
}

int list_kernels() {
  for (const KernelProblems& list : all_kernels()) {
    std::printf("%-20s %-8s", list.kernel, is_required(list.kernel) ? "required" : "optional");
    for (const std::uint32_t type : types_of(list, nullptr)) {
      Maker make(list.kernel, type);
      list.make(make);
      std::printf("  %s %zu", backend::dtype_name(type), make.take().size());
    }
    std::printf("\n");
  }
  return 0;
}

int test(const Options& options) {
  const Device device(options.plugin, options.settings);
  std::printf("%s %s on \"%s\"\n", device.plugin().id, device.plugin().version, device.info().name);
  std::printf("%-20s %-5s %9s %9s %13s\n", "kernel", "type", "problems", "declined",
              "error/allowed");
  std::vector<std::string> missing, failed, rows_matter;
  for (const std::string& wrong : device.check_services()) {
    std::printf("  FAIL %s\n", wrong.c_str());
    failed.push_back("device");
  }
  for (const KernelProblems& list : all_kernels()) {
    if (!wanted(options, list.kernel)) continue;
    const graft_kernel* kernel = device.kernel(list.kernel);
    if (!kernel) {
      if (is_required(list.kernel)) missing.push_back(list.kernel);
      continue;
    }
    for (const std::uint32_t type : types_of(list, &device)) {
      const Line line = run_line(device, *kernel, list, type);
      std::printf("%-20s %-5s %9zu %9zu %13.3f  %s%s\n", list.kernel, backend::dtype_name(type),
                  line.problems, line.declined, line.worst, line.failures.empty() ? "ok" : "FAIL",
                  line.rows_matter ? ", a row's bits depend on the number of rows" : "");
      const std::size_t shown = options.all_failures
                                    ? line.failures.size()
                                    : std::min<std::size_t>(3, line.failures.size());
      for (std::size_t i = 0; i < shown; ++i) std::printf("  FAIL %s\n", line.failures[i].c_str());
      if (shown < line.failures.size())
        std::printf("  and %zu more\n", line.failures.size() - shown);
      if (!line.failures.empty())
        failed.push_back(std::string(list.kernel) + " " + backend::dtype_name(type));
      if (line.rows_matter)
        rows_matter.push_back(std::string(list.kernel) + " " + backend::dtype_name(type));
      std::fflush(stdout);
    }
  }
  const auto print = [](const char* what, const std::vector<std::string>& names) {
    if (names.empty()) return;
    std::printf("%s", what);
    for (const std::string& name : names)
      std::printf(" %s%s", name.c_str(), &name == &names.back() ? "\n" : ",");
  };
  print("a row's bits depend on the number of rows in (no failure):", rows_matter);
  print("missing required kernels:", missing);
  print("failed:", failed);
  if (!missing.empty() || !failed.empty()) return 1;
  std::printf("conforms\n");
  return 0;
}

// 0: go on; otherwise what main() returns, plus one.
int parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const bool has_value = arg == "--only" || arg == "--config";
    if (has_value && i + 1 == argc) {
      std::fprintf(stderr, "graft-conform: %s needs a value\n%s", argv[i], kUsage);
      return 3;
    }
    if (arg == "--list") {
      options.list = true;
    } else if (arg == "--all-failures") {
      options.all_failures = true;
    } else if (arg == "--only") {
      options.only.push_back(argv[++i]);
    } else if (arg == "--config") {
      const std::string entry = argv[++i];
      const std::size_t equals = entry.find('=');
      if (entry[0] != '/' || equals == std::string::npos) {
        std::fprintf(stderr, "graft-conform: --config '%s' is not /POINTER=TEXT\n", entry.c_str());
        return 3;
      }
      options.settings.values[entry.substr(0, equals)] = entry.substr(equals + 1);
    } else if (arg == "--help" || arg == "-h") {
      std::fputs(kUsage, stdout);
      return 1;
    } else if (arg[0] == '-' || !options.plugin.empty()) {
      std::fprintf(stderr, "graft-conform: unexpected '%s'\n%s", argv[i], kUsage);
      return 3;
    } else {
      options.plugin = arg;
    }
  }
  for (const std::string& name : options.only) {
    const auto& all = all_kernels();
    if (std::none_of(all.begin(), all.end(), [&](const KernelProblems& list) {
          const std::string full = list.kernel;
          return full == name || full.substr(0, full.find('/')) == name;
        })) {
      std::fprintf(stderr, "graft-conform: no kernel '%s'; --list shows them\n", name.c_str());
      return 3;
    }
  }
  if (options.plugin.empty() && !options.list) {
    std::fprintf(stderr, "graft-conform: no plugin given\n%s", kUsage);
    return 3;
  }
  return 0;
}

}  // namespace
}  // namespace graft::conform

int main(int argc, char** argv) {
  using namespace graft::conform;
  Options options;
  if (const int stop = parse(argc, argv, options)) return stop - 1;
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) signal(number, crashed);
  try {
    return options.list ? list_kernels() : test(options);
  } catch (const Unusable& e) {
    std::fprintf(stderr, "graft-conform: %s\n", e.what());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "graft-conform: %s: %s\n", current, e.what());
  }
  return 2;
}
