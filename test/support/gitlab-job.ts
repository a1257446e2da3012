// The variables of a job in GitLab CI, as its documentation names them.

export const GITLAB_JOB = {
  GITLAB_CI: "true",
  CI_PROJECT_URL: "https://gitlab.example/org/cache",
  CI_PROJECT_ID: "42",
  CI_COMMIT_SHA: "0".repeat(40),
  CI_COMMIT_REF_NAME: "main",
  CI_CONFIG_PATH: ".gitlab-ci.yml",
  CI_JOB_URL: "https://gitlab.example/org/cache/-/jobs/9",
  CI_RUNNER_ID: "5",
  CI_PIPELINE_SOURCE: "push",
};
