#include "core/plugin/loader.hpp"

#include <fstream>

#include "core/plugin/call.hpp"
#include "core/plugin/host_config.hpp"
#include "tests/unit/plugin/expect.hpp"
#include "tests/unit/plugin/folder.hpp"

namespace graft::core {
namespace {

using test::expect_error;
using test::Folder;
using test::hostile;

PluginFile load(const std::string& name) {
  const Folder folder;
  return load_plugin(folder.path(), folder.add(hostile(name)));
}

TEST(Loader, ReadsWhatAGoodPluginSaysOfItself) {
  const Folder folder;
  const fs::path path = folder.add(hostile("good"));
  const PluginFile file = load_plugin(folder.path(), path);
  EXPECT_EQ(file.path, path);
  EXPECT_EQ(file.id, "org.example.good");
  EXPECT_EQ(file.version, "1.2.3");
  EXPECT_EQ(file.vendor, "Example");
  EXPECT_EQ(file.license, "Apache-2.0");
  EXPECT_EQ(file.abi, cat(GRAFT_ABI_MAJOR, ".", GRAFT_ABI_MINOR));
  EXPECT_EQ(file.sha256, sha256_hex(MappedFile::open(path).bytes()));
  const auto api = method_table(file);
  ASSERT_TRUE(api);
  EXPECT_STREQ(api->name, "good");
  EXPECT_FALSE(optimizer_table(file));
  EXPECT_FALSE(backend_table(file));
}

TEST(Loader, RefusesAnotherMinorWhileTheMajorIsZero) {
  expect_error(
      [] { load("newer_minor"); }, GRAFT_E_VERSION,
      {cat("needs ABI 0.", GRAFT_ABI_MINOR + 1, ", this libgraft offers 0.", GRAFT_ABI_MINOR)});
}

TEST(Loader, RefusesAnotherMajor) {
  expect_error([] { load("wrong_major"); }, GRAFT_E_VERSION,
               {"needs ABI 1.x, this libgraft offers 0."});
}

TEST(Loader, RefusesALibraryThatIsNoPlugin) {
  expect_error([] { load("no_entry"); }, GRAFT_E_INVALID,
               {"does not export graft_plugin_entry_v0", "no plugin of graft"});
}

TEST(Loader, RefusesAFileThatIsNoLibrary) {
  const Folder folder;
  const fs::path file = folder.path() / "libgraft-method-text.so";
  std::ofstream(file) << "hello";
  fs::permissions(file, fs::perms(0644));
  expect_error([&] { load_plugin(folder.path(), file); }, GRAFT_E_INVALID,
               {"cannot be loaded", file.string()});
}

TEST(Loader, NamesAnUnresolvedSymbolInsteadOfCrashingLater) {
  expect_error([] { load("unresolved"); }, GRAFT_E_INVALID, {"graft_symbol_that_nobody_has"});
}

TEST(Loader, RefusesNullWhereThereMustBeSomething) {
  expect_error([] { load("null_entry"); }, GRAFT_E_INVALID, {"returned NULL"});
  expect_error([] { load("null_interface"); }, GRAFT_E_INVALID, {"no get_interface()"});
  EXPECT_FALSE(method_table(load("no_tables")));
  expect_error([] { method_table(load("no_forward")); }, GRAFT_E_INVALID, {"no forward()"});
}

TEST(Loader, ReadsNoFurtherThanATableSays) {
  // Its fields behind struct_size are set all the same, and must read as NULL.
  expect_error([] { method_table(load("short_table")); }, GRAFT_E_INVALID, {"no create()"});
  expect_error([] { method_table(load("tiny_table")); }, GRAFT_E_INVALID,
               {"says that it has 3 bytes"});
  const auto longer = method_table(load("long_table"));
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->struct_size, sizeof(graft_method_api));
  EXPECT_STREQ(longer->name, "long_table");
}

TEST(Loader, StopsAnExceptionOfTheEntry) {
  expect_error([] { load("throws_in_entry"); }, GRAFT_E_INTERNAL,
               {"threw an exception", "thrown in the entry"});
}

TEST(Call, StopsAnExceptionOfAnyFunction) {
  const auto api = method_table(load("throws"));
  ASSERT_TRUE(api);
  const HostTable host{Log()};
  graft_method* method = nullptr;
  const auto create = [&](const Json& options) {
    const HostConfig config(options);
    return call_plugin("method throws", [&](graft_error* error) {
      return api->create(&host, &config, &method, error);
    });
  };
  expect_error(
      [&] {
        create({{"in_create", true}});
      },
      GRAFT_E_INTERNAL, {"method throws", "threw an exception", "thrown in create"});
  EXPECT_EQ(create({{"in_create", false}}), GRAFT_OK);
  ASSERT_NE(method, nullptr);
  void* state = nullptr;
  expect_error(
      [&] {
        call_plugin("method throws", [&](graft_error* error) {
          return api->attach(method, nullptr, &state, error);
        });
      },
      GRAFT_E_INTERNAL, {"thrown in attach"});
  expect_error(
      [&] {
        call_plugin("method throws",
                    [&](graft_error*) { return api->forward(method, state, nullptr, nullptr); });
      },
      GRAFT_E_INTERNAL, {"threw an exception"});
  api->destroy(method);
}

TEST(Call, TurnsAStatusIntoAnErrorAndHandsBackAnAnswer) {
  EXPECT_EQ(call_plugin("method x", [](graft_error*) { return GRAFT_SKIP; }), GRAFT_SKIP);
  expect_error(
      [] {
        call_plugin("method x", [](graft_error* error) {
          std::snprintf(error->message, sizeof error->message, "rank is 0");
          return GRAFT_E_INVALID;
        });
      },
      GRAFT_E_INVALID, {"method x: rank is 0"});
  expect_error([] { call_plugin("method x", [](graft_error*) { return GRAFT_E_NO_MEMORY; }); },
               GRAFT_E_NO_MEMORY, {"method x", "status -3", "without a message"});
  expect_error(  // a message that is not terminated
      [] {
        call_plugin("method x", [](graft_error* error) {
          std::fill(std::begin(error->message), std::end(error->message), 'a');
          return GRAFT_E_INVALID;
        });
      },
      GRAFT_E_INVALID, {std::string(503, 'a')});
}

}  // namespace
}  // namespace graft::core
