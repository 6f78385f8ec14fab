#include "core/base/schema.hpp"

#include <gtest/gtest.h>

#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

Json schema() {
  return parse_json(R"({
    "type": "object", "additionalProperties": false, "required": ["model"],
    "properties": {
      "model": {"type": "object", "required": ["path"], "properties": {
        "path": {"type": "string", "minLength": 1, "description": "the folder of the model"},
        "dtype": {"enum": ["f32", "bf16", "auto"], "default": "auto"}}},
      "train": {"type": "object", "default": {}, "additionalProperties": false, "properties": {
        "lr": {"type": "number", "exclusiveMinimum": 0, "maximum": 10, "default": 0.001},
        "schedule": {"enum": ["constant", "cosine"], "default": "constant"},
        "seed": {"type": "integer", "minimum": 0, "default": 17},
        "betas": {"type": "array", "minItems": 2, "maxItems": 2, "default": [0.9, 0.999],
                  "items": {"type": "number", "exclusiveMaximum": 1}}}},
      "methods": {"type": "array", "items": {"oneOf": [
        {"type": "object", "additionalProperties": false, "required": ["type"], "properties": {
          "type": {"const": "lora"}, "rank": {"type": "integer", "default": 8}}},
        {"type": "object", "additionalProperties": false, "required": ["load"], "properties": {
          "load": {"type": "string"}}, "description": "{\"load\": folder}"}]}},
      "limit": {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}]},
      "free": {"type": ["object", "null"], "additionalProperties": {"type": "boolean"}}
    }})",
                    "schema");
}

Json check(std::string_view text) {
  return validate(parse_json(text, "text"), schema(), "run.json");
}

TEST(SchemaTest, FillsDefaultsAtEveryDepth) {
  EXPECT_EQ(to_text(check(R"({"methods": [{"type": "lora"}], "model": {"path": "m"}})")),
            R"({"methods":[{"type":"lora","rank":8}],"model":{"path":"m","dtype":"auto"},)"
            R"("train":{"lr":0.001,"schedule":"constant","seed":17,"betas":[0.9,0.999]}})");
}

TEST(SchemaTest, KeepsWhatIsGiven) {
  const Json result = check(
      R"({"model": {"path": "m", "x": 1}, "train": {"seed": 4.0, "lr": 1}, "limit": 3,
          "free": {"a": true}})");
  EXPECT_EQ(result["train"]["lr"], 1);
  EXPECT_EQ(result["model"]["x"], 1);  // no additionalProperties there: anything goes
  EXPECT_TRUE(result["train"]["seed"].is_number_integer());
  EXPECT_EQ(result["train"]["seed"], 4);
  EXPECT_EQ(check(to_text(result)), result);  // a resolved file resolves to itself
}

TEST(SchemaTest, PointersGoOnFromThatOfTheValue) {
  const Json schema_of_one =
      parse_json(R"({"type": "object", "properties": {"rank": {"type": "integer"}}})", "schema");
  const Json wrong = parse_json(R"({"rank": "x"})", "text");
  EXPECT_ERROR(validate(wrong, schema_of_one, "run.json: /methods/0"),
               "run.json: /methods/0/rank is");
  Json closed = schema_of_one;
  closed["additionalProperties"] = false;
  EXPECT_ERROR(validate({{"rnak", 1}}, closed, "run.json: /methods/0"),
               "run.json: unknown key /methods/0/rnak. Did you mean 'rank'?");
  EXPECT_ERROR(validate(wrong, schema_of_one, "plugin lora"), "plugin lora: /rank is");
}

TEST(SchemaTest, NamesTheNearestKey) {
  EXPECT_ERROR(check(R"({"model": {"path": "m"}, "train": {"lr_shedule": "cosine"}})"),
               "run.json: unknown key /train/lr_shedule. Did you mean 'schedule'?");
  EXPECT_ERROR(check(R"({"model": {"path": "m"}, "a/b~": 1})"), "unknown key /a~1b~0. Known keys");
}

TEST(SchemaTest, SaysWhatIsThereAndWhatWouldBeRight) {
  const auto train = [](const char* text) {
    return check(cat(R"({"model": {"path": "m"}, "train": )", text, "}"));
  };
  EXPECT_ERROR(train(R"({"lr": "fast"})"), "/train/lr is \"fast\", but must be a number.");
  EXPECT_ERROR(train(R"({"lr": 0})"), "/train/lr is 0, but must be greater than 0.");
  EXPECT_ERROR(train(R"({"lr": 11})"), "/train/lr is 11, but must be at most 10.");
  EXPECT_ERROR(train(R"({"seed": -1})"), "/train/seed is -1, but must be at least 0.");
  EXPECT_ERROR(train(R"({"seed": 1.5})"), "/train/seed is 1.5, but must be a whole number.");
  EXPECT_ERROR(train(R"({"schedule": "cosin"})"),
               "/train/schedule is \"cosin\", but must be one of \"constant\", \"cosine\". "
               "Did you mean 'cosine'?");
  EXPECT_ERROR(train(R"({"betas": [0.9]})"), "must be a list of 2 or more elements");
  EXPECT_ERROR(train(R"({"betas": [0.9, 1, 1]})"), "must be a list of 2 or fewer elements");
  EXPECT_ERROR(train(R"({"betas": [0.9, 1]})"), "/train/betas/1 is 1, but must be less than 1.");
  EXPECT_ERROR(train("3"), "/train is 3, but must be an object {..}.");
  EXPECT_ERROR(check("{}"), "/model is missing.");
  EXPECT_ERROR(check(R"({"model": {}})"), "/model/path is missing. It is: the folder of the model");
  EXPECT_ERROR(check(R"({"model": {"path": ""}})"), "a string of 1 or more characters");
  EXPECT_ERROR(check(R"({"model": {"path": "m"}, "free": {"a": 1}})"), "/free/a is 1, but must be");
  EXPECT_ERROR(check("[]"), "run.json: the whole is [], but must be an object");
}

TEST(SchemaTest, ReportsTheBranchThatWasMeant) {
  const auto method = [](const char* text) {
    return check(cat(R"({"model": {"path": "m"}, "methods": [)", text, "]}"));
  };
  EXPECT_ERROR(method(R"({"type": "lora", "rnk": 4})"),
               "unknown key /methods/0/rnk. Did you mean 'rank'?");
  EXPECT_ERROR(method(R"({"type": "lra"})"),
               "/methods/0 is {\"type\":\"lra\"}, but must be one of: {\"type\": \"lora\", ..}, or "
               "{\"load\": folder}.");
  EXPECT_EQ(method(R"({"load": "d"})")["methods"][0].size(), 1u);
  EXPECT_ERROR(check(R"({"model": {"path": "m"}, "limit": 0})"),
               "/limit is 0, but must be at least 1");
}

TEST(SchemaTest, OneOfWantsExactlyOne) {
  const Json two = parse_json(R"({"oneOf": [{"type": "number"}, {"type": "integer"}]})", "s");
  EXPECT_EQ(validate(1.5, two, "v"), 1.5);
  EXPECT_ERROR(validate(1, two, "v"), "fits 2 of");
}

TEST(SchemaTest, ReportsSeveralProblemsAtOnce) {
  EXPECT_ERROR(check(R"({"modell": 1, "train": {"lr": "x"}})"),
               "run.json: unknown key /modell. Did you mean 'model'?\n"
               "run.json: /train/lr is \"x\", but must be a number.\n"
               "run.json: /model is missing.");
  std::string many = R"({"model": {"path": "m"}, "zz": 1)";
  for (int i = 0; i < 20; ++i) many += cat(", \"zz", i, "\": 1");
  EXPECT_ERROR(check(many + "}"), "and 13 more problems.");
}

TEST(SchemaTest, RefusesAKeywordItWouldNotCheck) {
  EXPECT_ERROR(validate("a", parse_json(R"({"pattern": "b"})", "s"), "v"), "\"pattern\" is not su");
  EXPECT_ERROR(validate(1, parse_json(R"({"type": "int"})", "s"), "v"), "\"int\" is not known");
  EXPECT_ERROR(validate(1, parse_json(R"({"minimum": "b"})", "s"), "v"), "malformed");
  EXPECT_EQ(validate(1, parse_json(R"({"x-order": 1, "title": "t"})", "s"), "v"), 1);
}

}  // namespace
}  // namespace graft::core
