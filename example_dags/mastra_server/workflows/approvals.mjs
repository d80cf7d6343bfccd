// Workflows that suspend until they are resumed with a response.

export function defineApprovals({ createWorkflow, createStep, z }) {
  const decision = z.object({
    approved: z.boolean().describe('Whether to go ahead'),
    note: z.string().optional().describe('Why, for the record'),
  });

  /** A step that suspends with `request(input)` and returns `response(input, resumeData)`. */
  const ask = ({ id, description, input, output, suspends, resumes, request, response }) =>
    createStep({
      id,
      description,
      inputSchema: input,
      outputSchema: output,
      suspendSchema: suspends,
      resumeSchema: resumes,
      execute: async ({ inputData, resumeData, suspend }) =>
        resumeData ? response(inputData, resumeData) : suspend(request(inputData)),
    });

  const refund = z.object({
    order: z.string().describe('The order to refund'),
    amount: z.number().describe('How much, in cents'),
    reason: z.string().describe('What the customer said'),
  });
  const decided = refund.extend({ approved: z.boolean(), note: z.string().optional() });
  const refunded = z.object({
    order: z.string(),
    refunded: z.number().describe('What was paid back, in cents'),
    note: z.string().optional(),
  });
  const refundApproval = createWorkflow({
    id: 'refund-approval',
    description: 'Pays a refund back once a person has approved it',
    inputSchema: refund,
    outputSchema: refunded,
  })
    .then(
      ask({
        id: 'approve',
        description: 'Waits for a decision on the refund',
        input: refund,
        output: decided,
        suspends: refund,
        resumes: decision,
        request: ({ order, amount, reason }) => ({ order, amount, reason }),
        response: (input, { approved, note }) => ({ ...input, approved, note }),
      }),
    )
    .then(
      createStep({
        id: 'pay-back',
        inputSchema: decided,
        outputSchema: refunded,
        execute: async ({ inputData: { order, amount, approved, note } }) => ({
          order,
          refunded: approved ? amount : 0,
          note,
        }),
      }),
    )
    .commit();

  const document = z.object({ document: z.string().describe('The document to publish') });
  const judged = document.extend({ approved: z.boolean() });
  const published = z.object({ document: z.string(), published: z.boolean() });
  const inner = createWorkflow({
    id: 'inner',
    description: 'The part that a person decides',
    inputSchema: document,
    outputSchema: judged,
  })
    .then(
      ask({
        id: 'approve',
        description: 'Waits for a decision on the document',
        input: document,
        output: judged,
        suspends: document,
        resumes: decision,
        request: ({ document }) => ({ document }),
        response: ({ document }, { approved }) => ({ document, approved }),
      }),
    )
    .commit();
  const nestedApproval = createWorkflow({
    id: 'nested-approval',
    description: 'Publishes a document once a workflow inside this one has approved it',
    inputSchema: document,
    outputSchema: published,
  })
    .then(inner)
    .then(
      createStep({
        id: 'publish',
        inputSchema: judged,
        outputSchema: published,
        execute: async ({ inputData: { document, approved } }) => ({
          document,
          published: approved,
        }),
      }),
    )
    .commit();

  const photos = z.object({ photos: z.array(z.string()).min(1).describe('The photos to review') });
  const photo = z.object({ photo: z.string() });
  const reviewed = z.object({ photo: z.string(), approved: z.boolean() });
  const review = ({ id, description, concurrency }) =>
    createWorkflow({ id, description, inputSchema: photos, outputSchema: z.array(reviewed) })
      .then(
        createStep({
          id: 'list-photos',
          inputSchema: photos,
          outputSchema: z.array(photo),
          execute: async ({ inputData }) => inputData.photos.map((name) => ({ photo: name })),
        }),
      )
      .foreach(
        ask({
          id: 'review',
          description: 'Waits for a decision on one photo',
          input: photo,
          output: reviewed,
          suspends: photo,
          resumes: decision,
          request: ({ photo }) => ({ photo }),
          response: ({ photo }, { approved }) => ({ photo, approved }),
        }),
        { concurrency },
      )
      .commit();
  const photoReview = review({
    id: 'photo-review',
    description: 'Has photos reviewed, one after the other',
    concurrency: 1,
  });
  // Mastra 0.x cannot resume a single suspended item: all of them receive the response.
  const photoReviewAtOnce = review({
    id: 'photo-review-at-once',
    description: 'Has photos reviewed, ten at a time, in any order',
    concurrency: 10,
  });

  const request = z.object({ department: z.string(), document: z.string() });
  const opinion = z.object({ approved: z.boolean(), note: z.string().optional() });
  const department = (id) =>
    ask({
      id,
      description: `Waits for the opinion of ${id}`,
      input: document,
      output: opinion,
      suspends: request,
      resumes: decision,
      request: ({ document }) => ({ department: id, document }),
      response: (_input, { approved, note }) => ({ approved, note }),
    });
  const opinions = z.object({ legal: opinion, finance: opinion });
  const parallelReview = createWorkflow({
    id: 'parallel-review',
    description: 'Asks two departments at once and needs both',
    inputSchema: document,
    outputSchema: z.object({ approved: z.boolean() }),
  })
    .parallel([department('legal'), department('finance')])
    .then(
      createStep({
        id: 'conclude',
        inputSchema: opinions,
        outputSchema: z.object({ approved: z.boolean() }),
        execute: async ({ inputData: { legal, finance } }) => ({
          approved: legal.approved && finance.approved,
        }),
      }),
    )
    .commit();

  const campaign = z.object({ campaign: z.string().describe('The campaign to plan') });
  const budget = z.number().min(0).describe('What it may cost, in cents');
  const deadline = z.string().date().describe('When it must be done, such as 2026-01-31');
  const funded = campaign.extend({ budget });
  const planned = funded.extend({ deadline });
  const twoRequests = createWorkflow({
    id: 'two-requests',
    description: 'Asks for a budget and then for a deadline',
    inputSchema: campaign,
    outputSchema: planned,
  })
    .then(
      ask({
        id: 'ask-budget',
        description: 'Waits for the budget',
        input: campaign,
        output: funded,
        suspends: campaign,
        resumes: z.object({ budget }),
        request: ({ campaign }) => ({ campaign }),
        response: ({ campaign }, { budget }) => ({ campaign, budget }),
      }),
    )
    .then(
      ask({
        id: 'ask-deadline',
        description: 'Waits for the deadline',
        input: funded,
        output: planned,
        suspends: funded,
        resumes: z.object({ deadline }),
        request: ({ campaign, budget }) => ({ campaign, budget }),
        response: (input, { deadline }) => ({ ...input, deadline }),
      }),
    )
    .commit();

  return {
    refundApproval,
    nestedApproval,
    photoReview,
    photoReviewAtOnce,
    parallelReview,
    twoRequests,
  };
}
